"""Shift between train and test: found where it is, not found where it is not, and what follows from it."""

import numpy as np
import pandas as pd
import pytest

from level2_stack.design.shift import (
    acquisition_set,
    adversarial_validation,
    column_families,
    columns_to_exclude,
    sentences,
)

ACQUISITION = {"patient": ("n_pictures",), "pictures": ("width", "height"), "metadata": ()}


def clinic(n_patients=240, *, test=0.4, seed=0):
    """Return a design, what is test, and patients with 1 to 11 pictures each; nothing shifts."""
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


def one(table):
    """Return the AUC and its limits of a table's only row."""
    assert len(table) == 1
    return tuple(table.iloc[0][["auc", "low", "high"]])


def found(rows):
    """Return a table as adversarial_validation makes it, from name: (auc, low, high)."""
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["auc", "low", "high"])
    return frame.assign(n_columns=2, leaned_on="pictures.width")


def test_where_nothing_shifts_the_intervals_hold_one_half_for_most_seeds():
    held = []
    for seed in range(8):
        X, is_test, groups = clinic(seed=seed)
        table = adversarial_validation(X, is_test, groups, {"all": list(X), "few": ["patient.n_pictures"]}, seed=seed)
        held += list((table["low"] <= 0.5) & (table["high"] >= 0.5))
    assert sum(held) >= 12  # of 16


def test_picture_counts_that_do_not_shift_are_not_found_on_average():
    aucs = []
    for seed in range(10):
        X, is_test, groups = clinic(seed=seed)
        aucs.append(one(adversarial_validation(X, is_test, groups, {"n": ["patient.n_pictures"]}, seed=seed))[0])
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
    assert one(adversarial_validation(X, is_test, groups, {"camera": ["metadata.camera"]}))[1] > 0.7


def test_patients_are_kept_whole_so_what_names_a_patient_tells_nothing():
    """Were rows dealt on their own, a column that is constant within the patient would tell test from train."""
    X, is_test, groups = clinic(60)
    sets = {"constant": ["patient.constant"]}
    alone = np.array([f"row_{i}" for i in range(len(X))], dtype=object)
    assert one(adversarial_validation(X, is_test, alone, sets))[0] > 0.65
    assert one(adversarial_validation(X, is_test, groups, sets))[0] == pytest.approx(0.5, abs=0.12)


def test_equal_seeds_give_equal_tables_and_a_set_does_not_depend_on_the_other_sets():
    X, is_test, groups = clinic()
    both = adversarial_validation(X, is_test, groups, {"a": ["logit.a"], "all": list(X)}, most_rows=500)
    alone = adversarial_validation(X, is_test, groups, {"all": list(X)}, most_rows=500)
    pd.testing.assert_frame_equal(both.loc[["all"]], alone)


def test_a_part_of_many_rows_is_enough_to_find_a_shift_of_rare_test_rows():
    X, is_test, groups = clinic(2000, test=0.02)
    X["pictures.width"] = np.random.default_rng(1).normal(size=len(X)) + 1.5 * is_test
    low = one(adversarial_validation(X, is_test, groups, {"width": ["pictures.width"]}, most_rows=600))[1]
    assert low > 0.75


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(lambda n: np.ones(n), id="constant"),
        pytest.param(lambda n: np.full(n, np.nan), id="missing"),
        pytest.param(lambda n: pd.Categorical([None] * n, categories=["arm"]), id="missing category"),
    ],
)
def test_from_columns_that_never_vary_nothing_is_learnt_and_they_do_not_disturb_others(values):
    X, is_test, groups = clinic(60)
    X["pictures.width"] = values(len(X))
    sets = {"width": ["pictures.width"], "a": ["logit.a"], "a and width": ["logit.a", "pictures.width"], "none": []}
    table = adversarial_validation(X, is_test, groups, sets)
    assert table.loc[["width", "none"], ["auc", "low", "high"]].isna().all(axis=None)
    assert list(table.loc[["width", "none"], "leaned_on"]) == ["", ""]
    assert table.loc[["a", "a and width"], "auc"].between(0.3, 0.7).all()


def test_missing_values_alone_can_tell():
    X, is_test, groups = clinic(60)
    X["logit.a"] = X["logit.a"].mask(is_test)
    assert one(adversarial_validation(X, is_test, groups, {"a": ["logit.a"]})) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("n_test", [1, 59])
def test_with_one_patient_on_a_side_nothing_is_known(n_test):
    X, _, groups = clinic(60)
    is_test = np.isin(groups, [f"patient_{i}" for i in range(n_test)])
    assert np.isnan(one(adversarial_validation(X, is_test, groups, {"all": list(X)}))).all()


def test_two_patients_on_each_side_make_two_folds_and_a_wide_interval():
    patients = np.repeat(["a", "b", "c", "d"], 40).astype(object)
    X = pd.DataFrame({"pictures.width": np.random.default_rng(0).normal(size=160)})
    value, low, high = one(adversarial_validation(X, patients > "b", patients, {"width": ["pictures.width"]}))
    assert low <= value <= high
    assert 0.3 < value < 0.7


def test_too_few_rows_for_a_single_split_is_unknown_and_not_alike():
    groups = np.array(list("abcdefgh"), dtype=object)
    X = pd.DataFrame({"pictures.width": np.arange(8.0)})
    assert np.isnan(one(adversarial_validation(X, np.arange(8) > 3, groups, {"width": ["pictures.width"]}))).all()


def test_patients_with_rows_on_both_sides_are_kept_whole_too():
    X, _, groups = clinic(60)
    is_test = np.random.default_rng(0).random(len(X)) < 0.5
    assert one(adversarial_validation(X, is_test, groups, {"all": list(X)}))[0] == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("value", [False, True])
def test_without_test_or_without_train_rows_there_is_nothing_to_compare(value):
    X, _, groups = clinic(20)
    table = adversarial_validation(X, np.full(len(X), value), groups, {"all": list(X)})
    assert list(table.columns) == ["auc", "low", "high", "n_columns", "leaned_on"]
    assert table.empty
    assert list(sentences(table)) == ["shift: no train and test rows to compare; acquisition columns left out"]
    assert columns_to_exclude(table, ACQUISITION) == {"patient": ("n_pictures",), "pictures": ("width", "height")}


@pytest.mark.parametrize(
    ("limits", "left_out"),
    [
        ((0.71, 0.69, 0.73), True),
        ((0.58, 0.55, 0.61), True),  # in doubt
        ((0.57, 0.54, 0.60), False),
        ((0.50, 0.44, 0.56), False),
        ((np.nan, np.nan, np.nan), True),
    ],
)
def test_acquisition_columns_stay_only_if_the_whole_interval_is_below_the_threshold(limits, left_out):
    table = found({"pictures": (0.9, 0.9, 0.9), acquisition_set("pictures"): limits})
    columns = {"pictures": ("width", "height")}
    assert columns_to_exclude(table, columns) == (columns if left_out else {})


def test_the_threshold_is_the_users():
    table = found({acquisition_set("pictures"): (0.71, 0.69, 0.73)})
    assert columns_to_exclude(table, {"pictures": ("width",)}, 0.75) == {}


def test_acquisition_columns_that_were_not_compared_are_left_out_and_blocks_without_any_are_not_named():
    assert columns_to_exclude(found({"all": (0.5, 0.4, 0.6)}), ACQUISITION).keys() == {"patient", "pictures"}


def test_sentences_say_the_figure_the_threshold_and_what_follows():
    table = found(
        {
            "networks": (0.66, 0.64, 0.68),
            "metadata": (0.51, 0.49, 0.53),
            "patient (acquisition)": (0.71, 0.69, 0.73),
            "pictures (acquisition)": (0.58, 0.55, 0.61),
            "metadata (acquisition)": (0.50, 0.47, 0.53),
            "extra (acquisition)": (np.nan, np.nan, np.nan),
        }
    )
    assert list(sentences(table)) == [
        "shift: networks 0.66 [0.64, 0.68] > 0.60, most by pictures.width",
        "shift: metadata 0.51 [0.49, 0.53] <= 0.60",
        "shift: patient (acquisition) 0.71 [0.69, 0.73] > 0.60: left out",
        "shift: pictures (acquisition) 0.58 [0.55, 0.61] may be > 0.60: left out",
        "shift: metadata (acquisition) 0.50 [0.47, 0.53] <= 0.60: kept",
        "shift: extra (acquisition) unknown, there is nothing to learn it from: left out",
    ]


def test_what_the_sentences_leave_out_is_what_is_excluded():
    X, is_test, groups = clinic()
    X["pictures.width"] = np.random.default_rng(1).normal(size=len(X)) + 1.5 * is_test
    table = adversarial_validation(X, is_test, groups, column_families(X, ACQUISITION))
    said = {line.split()[1] for line in sentences(table) if line.endswith("left out")}
    assert (
        said == columns_to_exclude(table, {"patient": ("n_pictures",), "pictures": ("width",)}).keys() >= {"pictures"}
    )


def test_columns_are_grouped_by_what_they_tell():
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
