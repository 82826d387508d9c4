"""How far a training picture may be changed: the settings of every augmentation; without TensorFlow."""

from typing import Annotated

from pydantic import Field

from features.settings import Settings

Share = Annotated[float, Field(ge=0, lt=1)]


class Augmentation(Settings):
    """How far a training picture may be changed; 0 switches a change off."""

    dihedral: bool = True  # the 8 symmetries of the square, drawn per picture
    rotation: float = Field(default=30.0, ge=0, le=180, description="degrees either way")
    zoom: Share = 0.15
    shift: Share = 0.08  # of the side
    brightness: Share = 0.15  # of the full range
    contrast: Share = 0.2
    saturation: Share = 0.2
    dropout: Share = 0.0  # side of one square set to the mean colour, as a share of the picture's side
