"""Shift between train and test: it is found if it exists, not found otherwise, and shifted columns are left out."""

import numpy as np
import pandas as pd
import pytest

from level2_stack.design.shift import (
    acquisition_set,
    adversarial_validation,
    column_families,
    columns_to_exclude,
    describe_shifts,
)

ACQUISITION = {"patient": ("n_pictures",), "pictures": ("width", "height"), "metadata": ()}


def clinic(n_patients=240, *, test=0.4, seed=0):
    """Return columns, which rows are test, and the patients, with 1 to 11 pictures each; nothing shifts."""
    random = np.random.default_rng(seed)
    patient = np.repeat(np.arange(n_patients), random.integers(1, 12, n_patients))
    n = len(patient)
    X = pd.DataFrame(
        {
            "logit.a": random.normal(size=n),
            "patient.n_pictures": np.bincount(patient)[patient].astype(float),
            "patient.constant": random.normal(size=n_patients)[patient],
            "metadata.site": pd.Categorical(random.choice(["arm", "leg", "back"], n)),
        },
        index=[f"case_{i}" for i in range(n)],
    )
    is_test = (random.random(n_patients) < test)[patient]
    return X, is_test, np.array([f"patient_{i}" for i in patient], dtype=object)


def only_row(table):
    """Return the AUC and its limits in a table's only row."""
    assert len(table) == 1
    return tuple(table.iloc[0][["auc", "low", "high"]])


def make_table(rows):
    """Return a table like that of adversarial_validation, from name: (auc, low, high)."""
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["auc", "low", "high"])
    return frame.assign(n_columns=2, leaned_on="pictures.width")


def test_without_a_shift_the_intervals_contain_one_half_for_most_seeds():
    contains_half = []
    for seed in range(8):
        X, is_test, groups = clinic(seed=seed)
        table = adversarial_validation(X, is_test, groups, {"all": list(X), "few": ["patient.n_pictures"]}, seed=seed)
        contains_half += list((table["low"] <= 0.5) & (table["high"] >= 0.5))
    assert sum(contains_half) >= 12  # of 16


def test_picture_counts_that_do_not_shift_have_a_mean_auc_of_one_half():
    aucs = []
    for seed in range(10):
        X, is_test, groups = clinic(seed=seed)
        aucs.append(only_row(adversarial_validation(X, is_test, groups, {"n": ["patient.n_pictures"]}, seed=seed))[0])
    assert np.mean(aucs) == pytest.approx(0.5, abs=0.03)


def test_a_planted_shift_is_found_and_named():
    X, is_test, groups = clinic()
    X["pictures.width"] = np.random.default_rng(1).normal(size=len(X)) + 1.5 * is_test
    table = adversarial_validation(X, is_test, groups, {"all": list(X), "logit": ["logit.a"]})
    assert table.loc["all", "low"] > 0.75
    assert table.loc["all", "leaned_on"].startswith("pictures.width")
    assert table.loc["logit", "high"] < 0.6
    assert list(table["n_columns"]) == [5, 1]


def test_a_category_that_only_test_patients_have_is_found():
    X, is_test, groups = clinic()
    X["metadata.camera"] = pd.Categorical(np.where(is_test & (np.arange(len(X)) % 2 == 0), "new", "old"))
    assert only_row(adversarial_validation(X, is_test, groups, {"camera": ["metadata.camera"]}))[1] > 0.7


def test_patients_are_in_one_fold_so_a_column_constant_within_patients_separates_nothing():
    """If rows were assigned to folds one by one, such a column would separate test from train rows."""
    X, is_test, groups = clinic(60)
    sets = {"constant": ["patient.constant"]}
    alone = np.array([f"row_{i}" for i in range(len(X))], dtype=object)
    assert only_row(adversarial_validation(X, is_test, alone, sets))[0] > 0.65
    assert only_row(adversarial_validation(X, is_test, groups, sets))[0] == pytest.approx(0.5, abs=0.12)


def test_equal_seeds_give_equal_tables_and_a_set_does_not_depend_on_the_other_sets():
    X, is_test, groups = clinic()
    both = adversarial_validation(X, is_test, groups, {"a": ["logit.a"], "all": list(X)}, max_rows=500)
    alone = adversarial_validation(X, is_test, groups, {"all": list(X)}, max_rows=500)
    pd.testing.assert_frame_equal(both.loc[["all"]], alone)


def test_a_sample_of_the_rows_is_enough_to_find_a_shift_of_rare_test_rows():
    X, is_test, groups = clinic(2000, test=0.02)
    X["pictures.width"] = np.random.default_rng(1).normal(size=len(X)) + 1.5 * is_test
    low = only_row(adversarial_validation(X, is_test, groups, {"width": ["pictures.width"]}, max_rows=600))[1]
    assert low > 0.75


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(lambda n: np.ones(n), id="constant"),
        pytest.param(lambda n: np.full(n, np.nan), id="missing"),
        pytest.param(lambda n: pd.Categorical([None] * n, categories=["arm"]), id="missing category"),
    ],
)
def test_constant_columns_have_no_auc_and_do_not_affect_others(values):
    X, is_test, groups = clinic(60)
    X["pictures.width"] = values(len(X))
    sets = {"width": ["pictures.width"], "a": ["logit.a"], "a and width": ["logit.a", "pictures.width"], "none": []}
    table = adversarial_validation(X, is_test, groups, sets)
    assert table.loc[["width", "none"], ["auc", "low", "high"]].isna().all(axis=None)
    assert list(table.loc[["width", "none"], "leaned_on"]) == ["", ""]
    assert table.loc[["a", "a and width"], "auc"].between(0.3, 0.7).all()


def test_missing_values_alone_can_separate_test_from_train():
    X, is_test, groups = clinic(60)
    X["logit.a"] = X["logit.a"].mask(is_test)
    assert only_row(adversarial_validation(X, is_test, groups, {"a": ["logit.a"]})) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("n_test", [1, 59])
def test_with_a_single_train_or_test_patient_the_auc_is_unknown(n_test):
    X, _, groups = clinic(60)
    is_test = np.isin(groups, [f"patient_{i}" for i in range(n_test)])
    assert np.isnan(only_row(adversarial_validation(X, is_test, groups, {"all": list(X)}))).all()


def test_two_train_and_two_test_patients_give_two_folds_and_a_wide_interval():
    patients = np.repeat(["a", "b", "c", "d"], 40).astype(object)
    X = pd.DataFrame({"pictures.width": np.random.default_rng(0).normal(size=160)})
    value, low, high = only_row(adversarial_validation(X, patients > "b", patients, {"width": ["pictures.width"]}))
    assert low <= value <= high
    assert 0.3 < value < 0.7


def test_with_too_few_rows_for_a_single_split_the_auc_is_unknown_and_not_one_half():
    groups = np.array(list("abcdefgh"), dtype=object)
    X = pd.DataFrame({"pictures.width": np.arange(8.0)})
    assert np.isnan(only_row(adversarial_validation(X, np.arange(8) > 3, groups, {"width": ["pictures.width"]}))).all()


def test_patients_with_train_and_test_rows_are_in_one_fold_too():
    X, _, groups = clinic(60)
    is_test = np.random.default_rng(0).random(len(X)) < 0.5
    assert only_row(adversarial_validation(X, is_test, groups, {"all": list(X)}))[0] == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("value", [False, True])
def test_without_test_or_without_train_rows_the_table_is_empty(value):
    X, _, groups = clinic(20)
    table = adversarial_validation(X, np.full(len(X), value), groups, {"all": list(X)})
    assert list(table.columns) == ["auc", "low", "high", "n_columns", "leaned_on"]
    assert table.empty
    assert list(describe_shifts(table)) == ["shift: no train and test rows to compare; acquisition columns left out"]
    assert columns_to_exclude(table, ACQUISITION) == {"patient": ("n_pictures",), "pictures": ("width", "height")}


@pytest.mark.parametrize(
    ("limits", "are_left_out"),
    [
        ((0.71, 0.69, 0.73), True),
        ((0.58, 0.55, 0.61), True),  # uncertain
        ((0.57, 0.54, 0.60), False),
        ((0.50, 0.44, 0.56), False),
        ((np.nan, np.nan, np.nan), True),
    ],
)
def test_acquisition_columns_stay_only_if_the_whole_interval_is_below_the_threshold(limits, are_left_out):
    table = make_table({"pictures": (0.9, 0.9, 0.9), acquisition_set("pictures"): limits})
    columns = {"pictures": ("width", "height")}
    assert columns_to_exclude(table, columns) == (columns if are_left_out else {})


def test_the_threshold_can_be_set():
    table = make_table({acquisition_set("pictures"): (0.71, 0.69, 0.73)})
    assert columns_to_exclude(table, {"pictures": ("width",)}, 0.75) == {}


def test_acquisition_columns_that_were_not_compared_are_left_out_but_blocks_without_any_are_not_listed():
    assert columns_to_exclude(make_table({"all": (0.5, 0.4, 0.6)}), ACQUISITION).keys() == {"patient", "pictures"}


def test_sentences_have_the_auc_the_threshold_and_the_consequence():
    table = make_table(
        {
            "networks": (0.66, 0.64, 0.68),
            "metadata": (0.51, 0.49, 0.53),
            "patient (acquisition)": (0.71, 0.69, 0.73),
            "pictures (acquisition)": (0.58, 0.55, 0.61),
            "metadata (acquisition)": (0.50, 0.47, 0.53),
            "extra (acquisition)": (np.nan, np.nan, np.nan),
        }
    )
    assert list(describe_shifts(table)) == [
        "shift: AUC of networks 0.66 [0.64, 0.68] > 0.60; most important: pictures.width",
        "shift: AUC of metadata 0.51 [0.49, 0.53] <= 0.60",
        "shift: AUC of patient (acquisition) 0.71 [0.69, 0.73] > 0.60; columns left out",
        "shift: AUC of pictures (acquisition) 0.58 [0.55, 0.61] may be > 0.60; columns left out",
        "shift: AUC of metadata (acquisition) 0.50 [0.47, 0.53] <= 0.60; columns kept",
        "shift: AUC of extra (acquisition) unknown (too few rows or patients, or constant columns); columns left out",
    ]


def test_the_sentences_name_the_blocks_whose_columns_are_left_out():
    X, is_test, groups = clinic()
    X["pictures.width"] = np.random.default_rng(1).normal(size=len(X)) + 1.5 * is_test
    table = adversarial_validation(X, is_test, groups, column_families(X, ACQUISITION))
    blocks = {line.split()[3] for line in describe_shifts(table) if line.endswith("left out")}
    acquisition = {"patient": ("n_pictures",), "pictures": ("width",)}
    assert blocks == columns_to_exclude(table, acquisition).keys() >= {"pictures"}


def test_columns_are_grouped_by_family_and_block():
    columns = ["logit.a", "logit.b", "spread.a", "zscore.a", "level.networks", "patient.n_pictures", "patient.n_sites"]
    assert column_families([*columns, "pictures.width"], ACQUISITION) == {
        "networks": ["logit.a", "logit.b"],
        "spread": ["spread.a"],
        "contrasts": ["zscore.a", "level.networks"],
        "patient": ["patient.n_pictures", "patient.n_sites"],
        "patient (acquisition)": ["patient.n_pictures"],
        "pictures": ["pictures.width"],
        "pictures (acquisition)": ["pictures.width"],
        "all": [*columns, "pictures.width"],
    }
    assert list(column_families(columns, ACQUISITION))[-1] == "all"
    assert column_families([], ACQUISITION) == {}
