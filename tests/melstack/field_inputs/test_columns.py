"""Tests of the section "Columns" of docs/field_inputs.md: which columns of a table are features."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.melstack.field_inputs.situation import Situation, check

ROWS = 60
MALIGNANT = np.arange(ROWS) % 3 == 0
TEST_ROWS = 8
NUMBERS = np.arange(ROWS)


def words(malignant: object, benign: object) -> list[object]:
    """Return a column with one value for malignant rows and another for benign ones."""
    return [malignant if is_malignant else benign for is_malignant in MALIGNANT]


def table(metadata: str, columns: Mapping[str, object], settings: str = "") -> Situation:
    """Return a situation with these ``columns`` in train and test, and ``metadata`` in the mapping."""

    def write(folder: Path) -> None:
        honest = {"sex": np.where(NUMBERS % 2, "male", "female"), "age_approx": 20.0 + 7 * NUMBERS % 50}
        ids = {"image_name": [f"m{row}" for row in NUMBERS], "patient_id": [f"p{row // 2}" for row in NUMBERS]}
        train = pd.DataFrame({**ids, "target": MALIGNANT.astype(int), **honest, **columns})
        train.to_csv(folder / "train.csv", index=False)
        test = train.drop(columns="target").head(TEST_ROWS)
        test = test.assign(image_name=[f"t{row}" for row in range(TEST_ROWS)], patient_id="q1")
        test.to_csv(folder / "test.csv", index=False)
        mapping = f'sample = ""\ntrain_pictures = ""\ntest_pictures = ""\n{settings}[columns]\nmetadata = {metadata}\n'
        (folder / "cases.toml").write_text(mapping)

    return Situation(write)


STAR = '["*"]'
ONE_HOT = {
    name: np.equal(NUMBERS % 9, remainder).astype(int) for remainder, name in enumerate("mnopqrstu") if remainder % 3
}
SITUATIONS = {
    "star_ham10000": table(STAR, {"dx_type": words("histo", "follow_up"), "localization": "back"}),
    "star_archive_export": table(
        STAR,
        {
            "concomitant_biopsy": words("True", "False"),
            "diagnosis_confirm_type": words("histopathology", "serial imaging"),
            "melanocytic": "True",
            "nevus_type": words("", "common"),
            "mel_thick_mm": words(0.4, ""),
            "dermoscopic_type": np.where(NUMBERS % 4, "contact polarized", "contact non-polarized"),
        },
    ),
    "star_pad_ufes_20": table(STAR, {"biopsed": words("True", "False"), "itch": NUMBERS % 2, "fitspatrick": 2.0}),
    "star_derm7pt": table(STAR, {"management": words("excision", "no further examination"), "elevation": "flat"}),
    "star_pathology_report": table(STAR, {"Histology": words("SSM", ""), "pathology report": words("pT1a", "none")}),
    "star_names_in_other_cases": table(STAR, {"dxType": words("histo", "other"), "Nevus.Type": words("", "common")}),
    "star_names_of_labels": table(STAR, {"ClassLabel": NUMBERS % 2, "Path Report": "see", "confirmed_by": NUMBERS % 3}),
    "star_ids_by_name": table(STAR, {"StudyID": 7 + NUMBERS // 2, "lesion_nr": NUMBERS % 50, "clinic_id": NUMBERS % 4}),
    "star_moles": table(
        STAR, {"mole": [f"M{row // 2}" for row in NUMBERS], "ward": [f"W{row // 20}" for row in NUMBERS]}
    ),
    "star_label_left": table(STAR, {"label": words(1, 0)}),
    "star_one_hot_2018": table(
        STAR, {"NV": words(0, 1), "BCC": 0, "AKIEC": 0, "BKL": 0, "DF": 0, "VASC": 0, "eyes": NUMBERS % 2}
    ),
    "star_one_hot_2017": table(STAR, {"seborrheic_keratosis": ((NUMBERS % 3 == 1) & (NUMBERS < 20)).astype(int)}),
    "star_one_hot_other_names": table(STAR, ONE_HOT),
    "star_ph2_classes": table(STAR, {"Common Nevus": words("", "X"), "Atypical Nevus": ""}),
    "star_filled_if_malignant": table(STAR, {"slide": words("A", ""), "fitzpatrick": 1 + NUMBERS % 5}),
    "star_filled_if_benign": table(STAR, {"follow_up_months": words("", 12)}),
    "star_almost_always_filled_if_malignant": table(
        STAR, {"referral": [row % 5 if is_malignant or row == 1 else "" for row, is_malignant in enumerate(MALIGNANT)]}
    ),
    "star_copy_of_the_target": table(STAR, {"verdict": words("M", "B")}),
    "star_threshold": table(STAR, {"risk_class": words(4, 1) + NUMBERS % 2}),
    "star_codes_of_the_diagnosis": table(
        STAR,
        {"icd10": [("C43", "D22", "L82")[row % 3] if row % 2 else ("C44", "D22", "D23")[row % 3] for row in NUMBERS]},
    ),
    "star_file_names": table(STAR, {"file": [f"scan_{row}.jpg" for row in NUMBERS]}),
    "star_free_text": table(STAR, {"remark": [f"patient seen on day {row} at noon" for row in NUMBERS]}),
    "star_row_numbers": table(STAR, {"record": 1000 + NUMBERS}),
    "star_constants": table(STAR, {"copyright_license": "CC-BY-NC", "attribution": "Somewhere"}),
    "star_honest_columns": table(
        STAR, {"itch": NUMBERS % 2, "diameter_mm": [row % 7 if row % 4 else "" for row in NUMBERS]}
    ),
    "star_admits_by_name": table('["*", "dx_type"]', {"dx_type": words("histo", "follow_up")}),
    "star_admits_a_copy_by_name": table('["*", "referral"]', {"referral": words("A", "")}),
    "star_admits_an_id_by_name": table('["*", "file"]', {"file": [f"scan_{row}.jpg" for row in NUMBERS]}),
    "named_dx_type": table('["sex", "dx_type"]', {"dx_type": words("histo", "follow_up")}),
    "named_biopsed": table('["biopsed"]', {"biopsed": words("True", "False")}),
    "named_copy_of_the_target": table('["sex", "verdict"]', {"verdict": words("M", "B")}),
    "named_diagnosis": table('["sex", "diagnosis"]', {"diagnosis": words("melanoma", "nevus")}),
}
FEATURES = {
    "star_ham10000": {"localization"},
    "star_archive_export": {"dermoscopic_type"},
    "star_pad_ufes_20": {"itch", "fitspatrick"},
    "star_derm7pt": {"elevation"},
    "star_one_hot_2018": {"eyes"},
    "star_filled_if_malignant": {"fitzpatrick"},
    "star_constants": {"copyright_license", "attribution"},
    "star_honest_columns": {"itch", "diameter_mm"},
    "star_ids_by_name": {"clinic_id"},
    "star_moles": {"ward"},
    "star_admits_by_name": {"dx_type"},
    "star_admits_a_copy_by_name": {"referral"},
    "star_admits_an_id_by_name": {"file"},
}
FACTS = {"role", "fold", "patient_id", "target", "width", "height", "file_bytes", "sex", "age_approx", "picture"}


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_features_are_known_before_the_diagnosis(name: str, tmp_path: Path) -> None:
    output = check(name, SITUATIONS, tmp_path)
    if output.code == 0 and name.startswith("star_"):
        cases = pd.read_parquet(tmp_path / "run" / "cases.parquet")
        assert set(cases.columns) - FACTS == FEATURES.get(name, set())
