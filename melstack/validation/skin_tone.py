"""An estimate of the skin tone from pictures: the individual typology angle of the skin around the lesion."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import delayed

from features.pictures.read import read_picture, shrink
from features.pictures.statistics.lesion import skin_colour
from runtime.machine.pool import open_pool
from runtime.progress import track

KIND = "skin tone (estimate)"  # the kind of subgroups that a page shows
SIDE = 160  # px of the longest side on which the skin is measured
# Lower limits of the individual typology angle in degrees: Chardon et al. 1991, Del Bino and Bernerd 2013.
CLASSES = {"very light": 55.0, "light": 41.0, "intermediate": 28.0, "tan": 10.0, "brown": -30.0, "dark": -math.inf}


def typology_angle(picture: np.ndarray) -> float:
    """Return the individual typology angle of the skin in ``picture``, uint8 RGB (height, width, 3), in degrees.

    It is arctan((L* - 50) / b*) of the median colour of the skin outside the lesion: high for light skin (Chardon et
    al. 1991). Cameras and light change it: it is an estimate, not a measurement.
    """
    lightness, _, yellow = skin_colour(shrink(picture, SIDE))
    return math.degrees(math.atan2(lightness - 50, max(yellow, 1e-3)))


def estimate_skin_tones(pictures: Mapping[str, Path]) -> pd.Series:
    """Return the class of the skin tone of every picture, an ordered categorical indexed by image_name."""
    angles = open_pool(return_as="generator")(delayed(_angle_of_file)(path) for path in pictures.values())
    values = list(track(angles, "estimating skin tones", len(pictures)))
    return tone_classes(pd.Series(values, index=pd.Index(list(pictures), name="image_name"), dtype=float))


def tone_classes(angles: pd.Series) -> pd.Series:
    """Return the class of every angle in degrees, as an ordered categorical from dark to very light."""
    limits = sorted(CLASSES.items(), key=lambda item: item[1])
    edges = [limit for _, limit in limits] + [math.inf]
    return pd.cut(angles, edges, right=False, labels=[name for name, _ in limits])


def _angle_of_file(path: Path) -> float:
    return typology_angle(read_picture(path, shortest=SIDE))
