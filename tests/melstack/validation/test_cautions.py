"""Tests of cautions.py: few patients, exchanged labels, equal scores; and what validations with them still say."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.clinic.folder import draw_clinic
from melstack.validation.cautions import without_limits
from melstack.validation.validate import ValidationRequest, validate_folder
from tests.tiny_project import FinishedRun


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a labelled folder of other patients, without test cases."""
    return draw_clinic(tmp_path_factory.mktemp("cautions") / "clinic", train=160, test=1, seed=9)


def folder_of(clinic: Path, folder: Path, table: pd.DataFrame) -> Path:
    """Return a folder with the pictures of ``clinic`` and ``table`` as its cases."""
    folder.mkdir()
    (folder / "jpeg").symlink_to(clinic / "jpeg")
    table.to_csv(folder / "train.csv", index=False)
    return folder


def test_with_few_patients_no_table_and_no_page_has_limits(
    finished_run: FinishedRun, clinic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.read_csv(clinic / "train.csv")
    malignant = table[table["target"] == 1].drop_duplicates("patient_id").head(3)
    data = folder_of(clinic, tmp_path / "few", pd.concat([malignant, table[table["target"] == 0]]))
    update = tmp_path / "updated"
    request = ValidationRequest(finished_run.bundle, data, tmp_path / "out", update=update, threads=1)
    validation = validate_folder(request)
    assert validation.measures[["low", "high", "difference_low"]].isna().all(axis=None)
    assert validation.thresholds["sensitivity_low"].isna().all()
    output = capsys.readouterr().out
    assert "warning: 3 patients with a malignant and" in output
    assert re.search(r"AUC 0\.\d{4}; out of fold in training 0\.\d{4}, difference [+-]0\.\d{4}\n", output)
    assert not update.exists()
    page = (tmp_path / "out" / "validation.html").read_text()
    assert "Too few patients to tell" in page
    assert "too few patients for limits" in page
    assert not re.search(r"\bnan\b|\[–", page, re.IGNORECASE)


def test_exchanged_labels_are_named_and_no_update_is_made_of_them(
    finished_run: FinishedRun, clinic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.read_csv(clinic / "train.csv").drop(columns=["diagnosis", "benign_malignant"])
    cases = validate_folder(ValidationRequest(finished_run.bundle, clinic, tmp_path / "first", threads=1)).cases
    # The tiny bundle hardly knows better than chance, so the labels are the opposite of what it says.
    rank = pd.Series(cases.probability, cases.table.index).rank(pct=True)
    data = folder_of(
        clinic, tmp_path / "exchanged", table.assign(target=(table["image_name"].map(rank) < 0.3).astype(int))
    )
    update = tmp_path / "updated"
    request = ValidationRequest(finished_run.bundle, data, tmp_path / "out", update=update, threads=1)
    validation = validate_folder(request)
    assert validation.is_below_chance
    output = capsys.readouterr().out
    assert "warning: the AUC is below chance: the labels may be exchanged" in output
    assert "calibration update: none, because the AUC is below chance" in output
    assert not update.exists()
    assert "the AUC is below chance: the labels may be exchanged" in (tmp_path / "out" / "validation.html").read_text()


def test_a_validation_without_these_faults_has_no_caution(
    finished_run: FinishedRun, clinic: Path, tmp_path: Path
) -> None:
    validation = validate_folder(ValidationRequest(finished_run.bundle, clinic, tmp_path, threads=1))
    assert validation.cautions == []
    assert validation.measures.set_index("metric").loc["auc", ["low", "high"]].notna().all()


def test_limits_are_columns_by_their_names() -> None:
    table = pd.DataFrame({"value": [1.0], "low": [0.5], "ppv_high": [2.0], "slow": [3.0]})
    estimates = without_limits(table)
    assert estimates[["low", "ppv_high"]].isna().all(axis=None)
    np.testing.assert_array_equal(estimates[["value", "slow"]], [[1.0, 3.0]])
