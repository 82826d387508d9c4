"""Tests of the synthetic clinic: known risk, the contest's layout, and the same bytes for the same seed."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from features.cases.case_table import read_cases
from features.clinic.cohort import (
    ABSOLUTE,
    INTERCEPT,
    LOOKS,
    PHENOTYPE,
    RELATIVE,
    SIGNS,
    SITES,
    draw_cohort,
    melanoma_risk,
)
from features.clinic.folder import draw_clinic
from features.folder.layout import Request
from melstack.report.data_page.contact_sheet import contact_sheet
from runtime.errors import InputFault
from runtime.files import read_json
from tests.features.clinic.folder_bytes import bytes_of

TINY = {"train": 24, "test": 8, "seed": 3}
SMALL_SIZES = [(24, 8), (40, 10), (100, 40)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return draw_clinic(tmp_path_factory.mktemp("clinic"), **TINY, jobs=1)


@pytest.fixture(scope="module")
def large():
    return draw_cohort(12000, 6000, seed=1)


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def _auc(cohort: pd.DataFrame) -> float:
    return roc_auc_score(cohort["target"], cohort["risk"])


@pytest.mark.full
def test_the_same_seed_gives_the_same_bytes_with_any_number_of_jobs(tiny, tmp_path):
    again = draw_clinic(tmp_path / "again", **TINY, jobs=2)
    assert bytes_of(again) == bytes_of(tiny)


def test_another_seed_gives_another_cohort():
    assert (
        not draw_cohort(40, 20, seed=0)["risk"]
        .reset_index(drop=True)
        .equals(draw_cohort(40, 20, seed=1)["risk"].reset_index(drop=True))
    )


def test_the_folder_has_the_contests_layout(tiny):
    train, test = pd.read_csv(tiny / "train.csv"), pd.read_csv(tiny / "test.csv")
    metadata = ["image_name", "patient_id", "sex", "age_approx", "anatom_site_general_challenge"]
    assert list(train.columns) == [*metadata, "diagnosis", "benign_malignant", "target"]
    assert list(test.columns) == metadata
    sample = pd.read_csv(tiny / "sample_submission.csv")
    assert list(sample.columns) == ["image_name", "target"]
    assert list(sample["image_name"]) == list(test["image_name"])
    for role, table in (("train", train), ("test", test)):
        pictures = {path.stem for path in (tiny / "jpeg" / role).iterdir()}
        assert pictures == set(table["image_name"])


def test_pictures_have_several_resolutions(tiny):
    sizes = {_size(path) for path in (tiny / "jpeg" / "train").iterdir()}
    assert len(sizes) > 1
    assert all(256 <= max(size) <= 400 for size in sizes)


def test_truth_csv_agrees_with_clinic_json_and_train_csv(tiny):
    truth = pd.read_csv(tiny / "truth.csv", index_col="image_name")
    facts = read_json(tiny / "clinic.json")
    for role in ("train", "test"):
        names = pd.read_csv(tiny / f"{role}.csv")["image_name"]
        assert _auc(truth.loc[names]) == pytest.approx(facts["auc_of_true_risk"][role], abs=1e-12)
    train = pd.read_csv(tiny / "train.csv", index_col="image_name")
    assert train["target"].equals(truth.loc[train.index, "target"])
    assert len(truth) == TINY["train"] + TINY["test"]


def test_a_complete_clinic_is_not_drawn_again(tiny):
    before = {path: path.stat().st_mtime_ns for path in tiny.rglob("*.*")}
    assert draw_clinic(tiny, **TINY) == tiny
    assert {path: path.stat().st_mtime_ns for path in tiny.rglob("*.*")} == before


def test_an_incomplete_clinic_is_drawn_again(tiny, tmp_path):
    draw_clinic(tmp_path, train=8, test=2, seed=9, jobs=1)
    (tmp_path / "clinic.json").unlink()
    assert bytes_of(draw_clinic(tmp_path, **TINY, jobs=1)) == bytes_of(tiny)


def test_a_folder_with_another_clinic_is_refused_and_both_are_named(tiny):
    with pytest.raises(InputFault, match=r"holds the clinic train=24, .* requested is train=24, test=8, seed=4"):
        draw_clinic(tiny, **(TINY | {"seed": 4}))


@pytest.mark.parametrize("other_file", ["train.csv", "jpeg/train/ISIC_0000001.jpg"])
def test_other_data_are_never_overwritten(tmp_path, other_file):
    path = tmp_path / other_file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("image_name,target\nISIC_0000001,0\n", encoding="utf-8")
    with pytest.raises(InputFault, match=path.name):
        draw_clinic(tmp_path, **TINY)
    assert list(tmp_path.rglob("*.csv")) + list(tmp_path.rglob("*.jpg")) == [path]


@pytest.mark.parametrize("numbers", [(7, 8, 0), (24, 0, 0), (24, 8, -1)])
def test_impossible_numbers_are_refused(numbers):
    with pytest.raises(InputFault, match="train >= 8, test >= 1, seed >= 0"):
        draw_cohort(*numbers)


@pytest.mark.parametrize(("train", "test"), SMALL_SIZES)
def test_small_clinics_can_be_split_into_folds(train, test):
    for seed in range(10):
        cohort = draw_cohort(train, test, seed)
        rows = cohort[cohort["role"] == "train"]
        assert (len(rows), len(cohort)) == (train, train + test)
        assert rows.loc[rows["target"] == 1, "patient_id"].nunique() >= 4
        assert cohort.groupby("role")["target"].nunique().eq(2).all()


def test_no_patient_is_in_both_roles_and_names_are_unique(large):
    assert large.groupby("patient_id")["role"].nunique().max() == 1
    assert large.index.is_unique
    assert large.index.str.fullmatch(r"DEMO_\d{7}").all()
    assert large["patient_id"].str.fullmatch(r"DP_\d{5}").all()


def test_targets_follow_the_risk(large):
    deciles = large.groupby(pd.qcut(large["risk"], 10), observed=True)[["risk", "target"]].mean()
    assert (deciles["risk"] - deciles["target"]).abs().max() < 0.01


def test_each_target_is_drawn_with_its_own_risk():
    # The malignant cases of a sorted cohort must vary: even a low risk is drawn as malignant at its own rate.
    draws = pd.concat([draw_cohort(200, 8, seed).query("role == 'train'") for seed in range(20)])
    unlikely = draws[draws["risk"] < 0.1]
    spread = np.sqrt((unlikely["risk"] * (1 - unlikely["risk"])).sum())
    assert abs(unlikely["target"].sum() - unlikely["risk"].sum()) < 4 * spread
    assert unlikely["target"].sum() > 0


def test_names_and_order_do_not_depend_on_target_or_patient(large):
    train = large[large["role"] == "train"]
    row_number = np.arange(len(train))
    assert abs(roc_auc_score(train["target"], row_number) - 0.5) < 0.03
    assert abs(roc_auc_score(train["target"], train["patient_id"].str[3:].astype(int)) - 0.5) < 0.05


def test_the_cohort_has_the_proportions_of_the_contest(large):
    assert large["target"].mean() == pytest.approx(0.17, abs=0.02)
    assert large.groupby("patient_id").size().mean() == pytest.approx(7.1, abs=0.2)
    assert set(large["anatom_site_general_challenge"].dropna()) == set(SITES)
    assert (large["age_approx"].dropna() % 5 == 0).all()
    missing = large.isna().groupby(large["role"])[["sex", "age_approx", "anatom_site_general_challenge"]].mean()
    assert missing["anatom_site_general_challenge"].between(0.01, 0.03).all()
    assert (missing.loc["test", ["sex", "age_approx"]] == 0).all()
    assert missing.loc["train", ["sex", "age_approx"]].between(0.002, 0.012).all()


def test_the_best_auc_is_clearly_above_that_of_one_picture(large):
    signs = large[list(SIGNS)]
    typical = signs.groupby(large["patient_id"]).transform("median")
    one_picture = roc_auc_score(large["target"], signs @ (ABSOLUTE + RELATIVE))
    ugly_duckling = roc_auc_score(large["target"], (signs - typical) @ RELATIVE)
    assert 0.86 < one_picture < 0.90
    assert 0.81 < ugly_duckling < 0.86
    assert 0.94 < _auc(large) < 0.96


def test_looks_and_phenotype_tell_nothing_of_the_risk(large):
    for name in (*LOOKS, *PHENOTYPE):
        assert roc_auc_score(large["target"], large[name]) == pytest.approx(0.5, abs=0.04), name


def test_the_risk_can_be_recomputed_from_the_visible_columns(large):
    assert melanoma_risk(large) == pytest.approx(large["risk"].to_numpy(), abs=1e-12)


def test_the_only_picture_of_a_patient_is_not_an_ugly_duckling():
    row = {"patient_id": "a", "age_approx": np.nan, "sex": None, "anatom_site_general_challenge": None}
    alone = pd.DataFrame([row | dict.fromkeys(SIGNS, 0.5)])
    inconspicuous = pd.DataFrame([row | dict.fromkeys(SIGNS, 0.1)] * 2)
    assert melanoma_risk(alone)[0] == pytest.approx(1 / (1 + np.exp(-INTERCEPT)))
    risks = melanoma_risk(pd.concat([alone, inconspicuous], ignore_index=True))
    assert risks[0] > 10 * melanoma_risk(alone)[0]


def test_a_contact_sheet_frames_malignant_cases_in_red(tiny, tmp_path):
    cases = read_cases(Request(tiny, folds=2))
    sheet = np.asarray(Image.open(contact_sheet(cases, tiny, tmp_path / "sheet.png", columns=4, rows=2)).convert("RGB"))
    corners = [tuple(sheet[row * 138 + 3, column * 164 + 3]) for row in range(2) for column in range(4)]
    assert [corner == (220, 30, 30) for corner in corners] == [False] * 4 + [True] * 4


def test_a_contact_sheet_needs_pictures(tiny, tmp_path):
    cases = read_cases(Request(tiny, folds=2)).drop(columns="picture")
    with pytest.raises(InputFault, match="the training cases have no pictures"):
        contact_sheet(cases, tiny, tmp_path / "sheet.png")
