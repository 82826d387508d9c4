"""Write the simulated ISIC 2024 as a data folder: tables, crops in HDF5, predictions of networks, and the truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.random import SeedSequence, default_rng
from scipy.special import expit, logit, ndtr

from features.clinic.camera import CAMERAS
from features.clinic.cohort import SIGNS
from features.clinic.description import Lesion
from features.clinic.isic2024_cohort import LOOKS, RELATIVE, UNMEASURED_WEIGHT, draw_total_body
from features.clinic.lesions import draw_lesion
from features.pictures.read import encode_jpeg, resize_square
from runtime.errors import InputFault, list_names
from runtime.files import read_json, replacing, write_json
from runtime.progress import say, track

if TYPE_CHECKING:
    import h5py

VERSION = 2  # increase it if the same seed gives other tables or pictures
MARK = "clinic.json"
# Simulated networks -> the noise in their logits; COMMON_NOISE is the share of its variance that all networks share.
NETWORKS = {"cnn_a": 1.0, "cnn_b": 1.3, "cnn_c": 1.6, "cnn_d": 2.0}
COMMON_NOISE = 0.25
FOREIGN = "predictions"
COLUMN = "isic_id"
TABLES = ("train-metadata.csv", "test-metadata.csv", "sample_submission.csv", "truth.csv")
SIDE = 128  # px; the contest's crops show 15 mm of skin on about 110 to 160 px
QUALITY = 90
FILES = {"train": "train-image.hdf5", "test": "test-image.hdf5"}


def _names(text: str) -> list[str]:
    return text.split()


PUBLIC_COLUMNS = _names(
    """age_approx sex anatom_site_general clin_size_long_diam_mm image_type tbp_tile_type tbp_lv_A tbp_lv_Aext tbp_lv_B
    tbp_lv_Bext tbp_lv_C tbp_lv_Cext tbp_lv_H tbp_lv_Hext tbp_lv_L tbp_lv_Lext tbp_lv_areaMM2
    tbp_lv_area_perim_ratio tbp_lv_color_std_mean tbp_lv_deltaA tbp_lv_deltaB tbp_lv_deltaL tbp_lv_deltaLB
    tbp_lv_deltaLBnorm tbp_lv_eccentricity tbp_lv_location tbp_lv_location_simple tbp_lv_minorAxisMM
    tbp_lv_nevi_confidence tbp_lv_norm_border tbp_lv_norm_color tbp_lv_perimeterMM tbp_lv_radial_color_std_max
    tbp_lv_stdL tbp_lv_stdLExt tbp_lv_symm_2axis tbp_lv_symm_2axis_angle tbp_lv_x tbp_lv_y tbp_lv_z attribution
    copyright_license"""
)
TRAIN_ONLY = _names(
    """lesion_id iddx_full iddx_1 iddx_2 iddx_3 iddx_4 iddx_5 mel_mitotic_index mel_thick_mm
    tbp_lv_dnn_lesion_confidence"""
)


@dataclass(frozen=True)
class ClinicSize:
    """The size of a simulated clinic: rows per role, and the number of different crops to draw (0: no pictures)."""

    train: int
    test: int
    seed: int = 0
    crops: int = 0

    def facts(self) -> dict[str, object]:
        """Return the values that clinic.json stores."""
        return {"layout": "isic2024", "version": VERSION, **self.__dict__}


def draw_total_body_clinic(folder: Path, size: ClinicSize) -> Path:
    """Write a simulated ISIC 2024 of ``size`` into ``folder`` and return it; do nothing if it already exists.

    The folder holds the contest's tables; ``predictions/<network>`` with out-of-fold and test predictions of NETWORKS,
    which are made without the target; and, with ``crops``, train-image.hdf5 and test-image.hdf5. Fewer crops than rows
    are repeated in turn: this suffices to measure reading, but the leak audit finds the repeats. truth.csv holds
    target and risk of every row and is for scoring only. clinic.json is written last. Raises InputFault if the folder
    holds other data.
    """
    facts = size.facts()
    if (folder / MARK).exists():
        existing = {key: read_json(folder / MARK).get(key) for key in facts}
        if existing != facts:
            raise InputFault(
                f"{folder / MARK}: the folder holds the clinic {existing}, requested is {facts}; name another folder"
            )
        return folder
    others = [name for name in (*TABLES, "train-image.hdf5", "test-image.hdf5") if (folder / name).exists()]
    if others and not (folder / FOREIGN).is_dir():
        raise InputFault(
            f"{folder}: the folder holds data of another source: {list_names(others)}; name an empty or new folder"
        )
    from sklearn.metrics import roc_auc_score  # slow to import; not needed if the clinic exists

    cohort = draw_total_body(size.train, size.test, size.seed)
    _write_networks(folder / FOREIGN, cohort, size.seed)
    _write_tables(folder, cohort)
    if size.crops:
        write_crops(folder, cohort, size.crops, size.seed)
    parts = {str(role): part for role, part in cohort.groupby("role", sort=False)}
    best = {role: float(roc_auc_score(part["target"], part["risk"])) for role, part in parts.items()}
    write_json(folder / MARK, facts | {"auc_of_true_risk": best})
    for role, part in parts.items():
        say(
            f"{role}: {len(part)} lesions, {int(part['target'].sum())} malignant, {part['patient_id'].nunique()} "
            f"patients; AUC of the true risk {best[role]:.4f}"
        )
    return folder


def _write_tables(folder: Path, cohort: pd.DataFrame) -> None:
    train, test = cohort[cohort["role"] == "train"], cohort[cohort["role"] == "test"]
    sample = test[[]].assign(target=0.3)
    tables = (
        train[["target", "patient_id", *PUBLIC_COLUMNS, *TRAIN_ONLY]],
        test[["patient_id", *PUBLIC_COLUMNS]],
        sample,
        cohort[["target", "risk"]],
    )
    for name, table in zip(TABLES, tables, strict=True):
        _write_csv(folder / name, table)


def _write_networks(folder: Path, cohort: pd.DataFrame, seed: int) -> None:
    # A network sees LOOKS and the hidden attribute of one lesion, but not the patient's other lesions.
    signal = cohort[list(LOOKS)].to_numpy() @ RELATIVE + UNMEASURED_WEIGHT * cohort["hidden"].to_numpy()
    rng = default_rng(SeedSequence(seed, spawn_key=(24, 3)))
    common = rng.standard_normal(len(cohort))
    base = logit(cohort["risk"].mean()) - 2
    for name, sd in NETWORKS.items():
        noise = np.sqrt(COMMON_NOISE) * common + np.sqrt(1 - COMMON_NOISE) * rng.standard_normal(len(cohort))
        table = cohort[[]].assign(pred=expit(base + signal + sd * noise).round(9))
        for role, file in (("train", "oof.csv"), ("test", "test.csv")):
            _write_csv(folder / name / file, table[cohort["role"] == role])


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    import pyarrow as pa
    from pyarrow import csv

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:  # ten times as fast as pandas, which matters for 55 columns of 401,059 rows
        csv.write_csv(pa.Table.from_pandas(table.rename_axis(COLUMN).reset_index(), preserve_index=False), temporary)


def write_crops(folder: Path, cohort: pd.DataFrame, crops: int, seed: int) -> None:
    """Write an HDF5 file of JPEGs per role into ``folder``, one JPEG per lesion of ``cohort``.

    After ``crops`` different pictures of a role, these are repeated in turn.
    """
    import h5py

    for role, name in FILES.items():
        part = cohort[cohort["role"] == role]
        lesions = _lesions(part[:crops])
        progress = track(lesions, f"drawing {role}", len(lesions), "crop")
        crop_jpegs = [_crop(lesion, seed, case) for case, lesion in enumerate(progress)]
        with replacing(folder / name) as temporary, h5py.File(temporary, "w") as file:
            _store(file, part.index, crop_jpegs)


def _store(file: "h5py.File", lesions: pd.Index, jpegs: Sequence[bytes]) -> None:
    """Write an entry per lesion without a time stamp, so that the same seed gives the same bytes."""
    for case, lesion in enumerate(lesions):
        file.create_dataset(str(lesion), data=np.void(jpegs[case % len(jpegs)]), track_times=False)


def _lesions(part: pd.DataFrame) -> list[Lesion]:
    """Return the lesions to draw: LOOKS as looks, and the hidden attribute as the signs that no camera measures."""
    looks = {name: ndtr(part[name].to_numpy(np.float64)).tolist() for name in (*LOOKS, "hidden")}
    # A patient's skin tone is the same in all pictures: a number from the digits of the name.
    tones = [int(name[-4:]) / 10_000 for name in part["patient_id"].astype(str)]
    return [_lesion({name: values[row] for name, values in looks.items()}, tone) for row, tone in enumerate(tones)]


def _lesion(looks: dict[str, float], tone: float) -> Lesion:
    sign = looks["hidden"]
    return Lesion(
        **dict.fromkeys(SIGNS, sign),
        asymmetry=looks["asymmetry"],
        border=looks["border"],
        variegation=looks["colour"],
        size=looks["size"],
        darkness=looks["darkness"],
        tone=tone,
        redness=0.3,
        freckles=1 - tone,
        warmth=0.5,
        network=0.5,
        globules=0.5,
        hair=0.2,
        camera=len(CAMERAS) - 1,
    )


def _crop(lesion: Lesion, seed: int, case: int) -> bytes:
    picture = draw_lesion(lesion, default_rng(SeedSequence([seed, case, 24])))
    middle = (picture.shape[1] - picture.shape[0]) // 2
    square = picture[:, middle : middle + picture.shape[0]]
    return encode_jpeg(resize_square(np.ascontiguousarray(square), SIDE), QUALITY)
