"""The settings of all augmentations; this module does not import TensorFlow."""

from typing import Annotated, Self

from pydantic import Field, ValidationInfo, field_validator

from runtime.settings import Settings

Share = Annotated[float, Field(ge=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]  # that a picture is changed at all

# Setting -> the amounts of its change; the setting has no effect while all of these are 0.
AMOUNTS = {
    "blur_probability": ("blur",),
    "noise_probability": ("noise", "colour_noise"),
    "local_contrast_probability": ("local_contrast",),
    "dropout_holes": ("dropout",),
    "dropout_probability": ("dropout",),
    "vignette_probability": ("vignette",),
    "hair_probability": ("hair",),
    "mixup_probability": ("mixup",),
    "cutmix_probability": ("cutmix",),
}


class Augmentation(Settings):
    """The largest amount of each change to a training picture; 0 switches the change off.

    Each picture gets a random amount between 0 and this maximum, or between minus and plus the maximum. Lengths are
    shares of the side, so that the same settings work at every resolution.
    """

    dihedral: bool = True  # a random one of the 8 symmetries of the square
    rotation: float = Field(default=30.0, ge=0, le=180, description="degrees, in both directions")
    zoom: Share = 0.15  # share of the size, in both directions
    shift: Share = 0.08  # share of the side
    shear: float = Field(default=0.0, ge=0, le=45, description="degrees, in both directions")
    brightness: Share = 0.15  # share of the full range of pixel values
    contrast: Share = 0.2  # share, in both directions
    saturation: Share = 0.2  # share, in both directions
    hue: float = Field(default=0.0, ge=0, le=180, description="degrees around the colour circle, in both directions")
    blur: float = Field(default=0.0, ge=0, le=0.05, description="sigma of a Gaussian, as a share of the side")
    blur_probability: Probability = 1.0  # share of the pictures
    noise: Share = 0.0  # standard deviation of grey noise, as a share of the full range
    colour_noise: Share = 0.0  # the same, but independent for the three colours
    noise_probability: Probability = 1.0  # share of the pictures
    local_contrast: float = Field(default=0.0, ge=0, le=39, description="grey levels are stretched by up to 1 + this")
    local_contrast_probability: Probability = 1.0  # share of the pictures
    dropout: Share = 0.0  # side of a square that is set to the mean colour, as a share of the picture's side
    dropout_holes: int = Field(default=1, ge=1, le=64)  # squares per picture
    dropout_probability: Probability = 1.0  # share of the pictures
    vignette: Share = (
        0.0  # how far the dark border of a microscope reaches into the picture, as a share of half the side
    )
    vignette_probability: Probability = 1.0  # share of the pictures
    hair: int = Field(default=0, ge=0, le=100, description="hairs drawn over the picture")
    hair_probability: Probability = 1.0  # share of the pictures
    mixup: float = Field(default=0.0, ge=0, le=10, description="alpha of the Beta distribution of the two shares")
    mixup_probability: Probability = 1.0  # share of the pictures
    cutmix: float = Field(default=0.0, ge=0, le=10, description="alpha of the Beta distribution of the pasted area")
    cutmix_probability: Probability = Field(default=1.0, validate_default=True)  # share of the pictures

    @field_validator(*AMOUNTS)
    @classmethod
    def _has_an_effect(cls, value: float, info: ValidationInfo) -> float:
        name = str(info.field_name)
        amounts = {amount: info.data.get(amount, 0) for amount in AMOUNTS[name]}
        if any(amounts.values()) and value == 0:
            nonzero = " and ".join(f"{amount} = {number}" for amount, number in amounts.items() if number)
            raise ValueError(f"{nonzero} has no effect at probability 0; raise the probability, or leave both out")
        if not any(amounts.values()) and value != cls.model_fields[name].default:
            raise ValueError(f"has no effect while {' and '.join(amounts)} = 0; set {' or '.join(amounts)} too")
        return value

    @field_validator("cutmix_probability")
    @classmethod
    def _leaves_room_for_mixup(cls, value: float, info: ValidationInfo) -> float:
        has_both = info.data.get("mixup") and info.data.get("cutmix")
        total = value + info.data.get("mixup_probability", 0)
        if has_both and total > 1:
            raise ValueError(
                f"mixup_probability + cutmix_probability = {total:g}, but their sum may be at most 1, because a "
                "picture gets mixup or cutmix, never both; lower one of them"
            )
        return value

    def only(self, *names: str) -> Self:
        """Return a copy in which only the changes ``names`` are on, with probability 1."""
        off = {name: type(value)(0) for name, value in self if name not in AMOUNTS}
        probabilities = {name: 1.0 for name in AMOUNTS if name.endswith("_probability")}
        amounts = {name: getattr(self, name) for name in (*names, "dropout_holes") if name in type(self).model_fields}
        return self.model_copy(update=off | probabilities | amounts)
