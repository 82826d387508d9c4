"""Drawn crops of the stand-in for ISIC 2024, as the contest ships its pictures: one HDF5 entry per case."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.random import SeedSequence, default_rng
from scipy.special import ndtr

from features.artefacts import CAMERAS
from features.files import replacing
from features.lesions import Lesion, draw_lesion
from features.pictures import encode_jpeg, resize_square
from features.progress import track
from features.total_body import LOOKS

if TYPE_CHECKING:
    import h5py

SIDE = 128  # px; the contest's crops show 15 mm of skin on some 110 to 160 px
QUALITY = 90
FILES = {"train": "train-image.hdf5", "test": "test-image.hdf5"}


def write_crops(folder: Path, cohort: pd.DataFrame, crops: int, seed: int) -> None:
    """Write a JPEG per lesion of ``cohort`` into ``folder``; beyond ``crops`` of a role they come again in turn."""
    import h5py

    for role, name in FILES.items():
        part = cohort[cohort["role"] == role]
        lesions = _lesions(part[:crops])
        tracked = track(lesions, f"drawing {role}", len(lesions), "crops")
        drawn = [_crop(lesion, seed, case) for case, lesion in enumerate(tracked)]
        with replacing(folder / name) as temporary, h5py.File(temporary, "w") as file:
            _store(file, part.index, drawn)


def _store(file: "h5py.File", lesions: pd.Index, drawn: Sequence[bytes]) -> None:
    """Write an entry per lesion, without its time: the same seed gives the same bytes."""
    for case, lesion in enumerate(lesions):
        file.create_dataset(str(lesion), data=np.void(drawn[case % len(drawn)]), track_times=False)


def _lesions(part: pd.DataFrame) -> list[Lesion]:
    """Return what the pictures show: the looks that are measured, and as pigment network what no measurement tells."""
    looks = {name: ndtr(part[name].to_numpy(np.float64)).tolist() for name in (*LOOKS, "hidden")}
    # A patient's skin is the same in all pictures: a number from the digits of the name.
    tones = [int(name[-4:]) / 10_000 for name in part["patient_id"].astype(str)]
    return [_lesion({name: values[row] for name, values in looks.items()}, tone) for row, tone in enumerate(tones)]


def _lesion(looks: dict[str, float], tone: float) -> Lesion:
    hidden = looks["hidden"]
    return Lesion(
        asymmetry=looks["asymmetry"],
        border=looks["border"],
        variegation=(looks["colour"] + hidden) / 2,
        size=looks["size"],
        darkness=looks["darkness"],
        tone=tone,
        redness=0.3,
        freckles=1 - tone,
        warmth=0.5,
        network=hidden,
        globules=hidden,
        hair=0.2,
        camera=len(CAMERAS) - 1,
    )


def _crop(lesion: Lesion, seed: int, case: int) -> bytes:
    picture = draw_lesion(lesion, default_rng(SeedSequence([seed, case, 24])))
    middle = (picture.shape[1] - picture.shape[0]) // 2
    square = picture[:, middle : middle + picture.shape[0]]
    return encode_jpeg(resize_square(np.ascontiguousarray(square), SIDE), QUALITY)
