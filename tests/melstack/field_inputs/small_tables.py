"""Tables of twelve training and two test cases, of which a situation changes a column."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from tests.features.small_clinic import draw_picture

COUNT = 12
SITE = "anatom_site_general_challenge"
TRAIN: Mapping[str, Sequence[object]] = {
    "image_name": [f"a{number:02d}" for number in range(COUNT)],
    "patient_id": [f"IP_{number:03d}" for number in range(COUNT)],
    "sex": ["male", "female"] * 6,
    "age_approx": [40, 45, 50] * 4,
    SITE: ["torso"] * COUNT,
    "target": [1, 0, 0] * 4,
}
TEST: Mapping[str, Sequence[object]] = {
    "image_name": ["t1", "t2"],
    "patient_id": ["IQ_001", "IQ_002"],
    "sex": ["male", "female"],
    "age_approx": [60, 65],
    SITE: ["torso", "torso"],
}
Columns = Mapping[str, Sequence[object]]


def write_tables(folder: Path, train: Columns | None = None, test: Columns | None = None, mapping: str = "") -> Path:
    """Write train.csv and test.csv with the columns ``train`` and ``test`` replaced or added, and a ``mapping``."""
    pd.DataFrame({**TRAIN, **(train or {})}).to_csv(folder / "train.csv", index=False)
    pd.DataFrame({**TEST, **(test or {})}).to_csv(folder / "test.csv", index=False)
    if mapping:
        (folder / "cases.toml").write_text(mapping, encoding="utf-8")
    return folder


def write_external(folder: Path, patients: Sequence[str], name: str = "e") -> Path:
    """Write an external folder with one drawn picture per element of ``patients``."""
    names = [f"{name}{number}" for number in range(len(patients))]
    for number, case in enumerate(names):
        draw_picture(folder / "jpeg" / f"{case}.jpg", seed=len(name) * 100 + number)
    columns = {key: values[0] for key, values in TRAIN.items()} | {"image_name": names, "patient_id": patients}
    pd.DataFrame(columns).to_csv(folder / "train.csv", index=False)
    return folder
