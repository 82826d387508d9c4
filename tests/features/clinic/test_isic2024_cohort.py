"""Tests of the simulated ISIC 2024: known risk, the contest's counts, and the same bytes for the same seed."""

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from features.cases.case_table import read_cases
from features.clinic.isic2024_cohort import (
    MALIGNANT,
    PATIENTS,
    ROWS,
    TEST_ROWS,
    draw_total_body,
    logit_of_risk,
    part_counts,
)
from features.clinic.isic2024_folder import NETWORKS, ClinicSize, draw_total_body_clinic
from features.folder.layout import Request
from runtime.errors import InputFault
from tests.features.clinic.folder_bytes import bytes_of


@pytest.fixture(scope="module")
def cohort():
    return draw_total_body(20_000, 5_000, seed=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return draw_total_body_clinic(tmp_path_factory.mktemp("clinic"), ClinicSize(60, 40, seed=2, crops=4))


def test_the_full_size_has_the_contests_counts():
    counts = part_counts(ROWS)
    assert (counts.rows, counts.patients, counts.malignant) == (401_059, PATIENTS, MALIGNANT) == (401_059, 1_042, 393)
    assert part_counts(TEST_ROWS).malignant == 98


def test_the_number_of_malignant_lesions_is_the_requested_one_and_the_sum_of_the_risks(cohort):
    for role, rows in (("train", 20_000), ("test", 5_000)):
        part = cohort[cohort["role"] == role]
        assert part["target"].sum() == part_counts(rows).malignant
        assert part["risk"].sum() == pytest.approx(part_counts(rows).malignant)
        assert part["patient_id"].nunique() == part_counts(rows).patients


def test_no_patient_is_in_both_roles_and_some_have_hundreds_of_lesions(cohort):
    assert (cohort.groupby("patient_id")["role"].nunique() == 1).all()
    assert cohort["patient_id"].value_counts().max() > 500


def test_the_risk_follows_its_formula(cohort):
    train = cohort[cohort["role"] == "train"]
    shift = logit(train["risk"].to_numpy()) - logit_of_risk(train)
    assert np.ptp(shift) < 1e-6
    assert expit(logit_of_risk(train) + shift[0]) == pytest.approx(train["risk"].to_numpy())


def test_the_true_risk_ranks_better_than_any_column_alone(cohort):
    train = cohort[cohort["role"] == "train"]
    best = roc_auc_score(train["target"], train["risk"])
    numbers = train.drop(columns=["risk", "target", "mel_thick_mm", "hidden"]).select_dtypes("number")
    alone = [roc_auc_score(train["target"], column.fillna(column.median())) for _, column in numbers.items()]
    assert best > 0.85
    assert max(max(alone), 1 - min(alone)) < best


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_bytes(folder, tmp_path):
    again = draw_total_body_clinic(tmp_path / "again", ClinicSize(60, 40, seed=2, crops=4))
    other = draw_total_body_clinic(tmp_path / "other", ClinicSize(60, 40, seed=3))
    assert bytes_of(again) == bytes_of(folder)
    assert (other / "train-metadata.csv").read_bytes() != (folder / "train-metadata.csv").read_bytes()


def test_crops_are_repeated_in_turn_and_every_case_has_one(folder):
    names = pd.read_csv(folder / "train-metadata.csv")["isic_id"].tolist()
    with h5py.File(folder / "train-image.hdf5") as file:
        assert sorted(file) == sorted(names)
        contents = [file[name][()].tobytes() for name in names]
    assert len(set(contents)) == 4
    assert contents[0] == contents[4] != contents[1]
    assert all(content.startswith(b"\xff\xd8\xff") for content in contents)


def test_its_cases_have_their_pictures_in_the_hdf5(folder):
    cases = read_cases(Request(folder, folds=3))
    assert cases.loc[cases["role"] == "train", "picture"].str.startswith("train-image.hdf5@ISIC_").all()
    assert (cases[["width", "height"]] == 128).all().all()


def test_a_network_with_more_noise_correlates_less_with_the_true_risk(tmp_path):
    data = draw_total_body_clinic(tmp_path, ClinicSize(3_000, 1_000))
    risk = pd.read_csv(data / "truth.csv", index_col="isic_id")["risk"]
    quietest_first = sorted(NETWORKS, key=NETWORKS.__getitem__)
    for file in ("oof.csv", "test.csv"):
        tables = [
            pd.read_csv(data / "predictions" / name / file, index_col="isic_id")["pred"] for name in quietest_first
        ]
        correlations = [table.corr(risk.loc[table.index], method="spearman") for table in tables]
        assert correlations == sorted(correlations, reverse=True)
        assert correlations[-1] > 0.3


def test_a_folder_with_other_data_is_not_changed(folder, tmp_path):
    with pytest.raises(InputFault, match="requested is"):
        draw_total_body_clinic(folder, ClinicSize(60, 40, seed=9))
    (tmp_path / "train-metadata.csv").write_text("somebody's own")
    with pytest.raises(InputFault, match="holds data of another source"):
        draw_total_body_clinic(tmp_path, ClinicSize(60, 40))
    assert (tmp_path / "train-metadata.csv").read_text() == "somebody's own"


def test_too_few_rows_are_refused():
    with pytest.raises(InputFault, match="the layout isic2024 needs at least 40 rows per role; found 39"):
        draw_total_body(39, 40, seed=0)
