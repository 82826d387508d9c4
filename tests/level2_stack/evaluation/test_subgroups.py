"""Subgroups: their cases, the threshold that all share, and the notes if there are too few patients."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from level2_stack.evaluation.auc import auc, patient_bootstrap
from level2_stack.evaluation.subgroups import (
    MIN_PATIENTS,
    age_band,
    common_threshold,
    list_groups,
    subgroup_table,
    with_fold_names,
)
from runtime.errors import InputFault

SITE = "anatom_site_general_challenge"


def clinic(n=1200, seed=0):
    random = np.random.default_rng(seed)
    y = (random.random(n) < 0.2).astype(float)
    score = 1 / (1 + np.exp(-(2 * y - 2 + random.normal(size=n))))
    cases = pd.DataFrame(
        {
            "sex": random.choice(["male", "female"], n),
            "age_approx": random.choice([25.0, 30.0, 65.0, 70.0, 90.0], n),
            SITE: random.choice(["torso", "head/neck"], n),
        }
    )
    groups = np.array([f"patient_{i // 4}" for i in range(n)], dtype=object)
    return y, score, groups, cases


def by_value(table, kind):
    return table[table["kind"] == kind].set_index("value")


def test_every_case_is_in_one_subgroup_of_each_kind():
    y, score, groups, cases = clinic()
    table = subgroup_table(y, score, groups, cases, replicates=5)
    assert table["kind"].unique().tolist() == ["all", "sex", "age", "site"]
    assert (table.groupby("kind")["rows"].sum() == 1200).all()
    assert (table.groupby("kind")["positives"].sum() == y.sum()).all()
    assert table.loc[0, "patients"] == 300


def test_ages_fall_into_their_bands():
    bands = age_band(pd.Series([0, 29.9, 30, 39, 40, 55, 69, 70, 90, np.nan]))
    expected = ["under 30", "under 30", "30-39", "30-39", "40-49", "50-59", "60-69", "70 and over", "70 and over"]
    assert bands.dropna().to_list() == expected
    assert bands.isna().to_list() == [False] * 9 + [True]
    y, score, groups, cases = clinic()
    kinds = by_value(subgroup_table(y, score, groups, cases, replicates=2), "age").index.to_list()
    assert kinds == ["under 30", "30-39", "60-69", "70 and over"]


def test_cases_without_a_value_are_the_last_subgroup():
    y, score, groups, cases = clinic()
    cases.loc[:99, ["sex", "age_approx", SITE]] = np.nan
    table = subgroup_table(y, score, groups, cases, replicates=2)
    for kind in ("sex", "age", "site"):
        rows = by_value(table, kind)["rows"]
        assert rows.index[-1] == "missing"
        assert rows["missing"] == 100


def test_measures_are_those_of_the_subgroups_rows_at_the_common_threshold():
    y, score, groups, cases = clinic()
    table = subgroup_table(y, score, groups, cases, replicates=2)
    threshold = common_threshold(y, score)
    assert (table["threshold"] == threshold).all()
    men = (cases["sex"] == "male").to_numpy()
    row = by_value(table, "sex").loc["male"]
    assert row["auc"] == pytest.approx(auc(y[men], score[men]))
    assert row["sensitivity"] == pytest.approx((score[men & (y == 1)] >= threshold).mean())
    assert row["specificity"] == pytest.approx((score[men & (y == 0)] < threshold).mean())
    assert row["mean_predicted"] == pytest.approx(score[men].mean())
    assert row["prevalence"] == pytest.approx(y[men].mean())
    assert row["excess"] == pytest.approx(score[men].mean() - y[men].mean())


def test_the_interval_of_all_rows_is_that_of_the_leaderboard():
    y, score, groups, cases = clinic()
    row = subgroup_table(y, score, groups, cases, replicates=40, seed=3).iloc[0]
    leaderboard_row = patient_bootstrap(y, pd.DataFrame({"m": score}), groups, replicates=40, seed=3).loc["m"]
    assert row[["auc", "auc_low", "auc_high"]].to_list() == leaderboard_row[["auc", "low", "high"]].to_list()


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=1, max_size=40))
def test_the_threshold_is_the_highest_with_90_percent_of_the_positives(rows):
    y, tenths = np.array(rows, dtype=float).T
    threshold = common_threshold(y, tenths / 10)
    positives = tenths[y == 1] / 10
    if not len(positives):
        assert np.isnan(threshold)
        return
    assert (positives >= threshold).sum() * 10 >= 9 * len(positives)
    assert (positives > threshold).sum() * 10 < 9 * len(positives)


def test_measures_are_between_their_limits():
    y, score, groups, cases = clinic()
    table = subgroup_table(y, score, groups, cases, replicates=200)
    for measure in ("auc", "sensitivity", "specificity", "excess"):
        assert (table[f"{measure}_low"] < table[measure]).all()
        assert (table[measure] < table[f"{measure}_high"]).all()
    assert (table["note"] == "").all()


def test_with_too_few_patients_there_are_no_limits_but_a_note():
    y, score, groups, cases = clinic()
    positives = np.flatnonzero(y == 1)
    cases.loc[:, "sex"] = "female"
    cases.loc[positives[:40:8], "sex"] = "male"  # five melanomas, of five patients
    cases.loc[np.flatnonzero(y == 0)[:200], "sex"] = "male"
    men = by_value(subgroup_table(y, score, groups, cases, replicates=20), "sex").loc["male"]
    few = "too few for an AUC: 5 malignant, 200 benign"
    assert men["note"] == f"{few}; 5 patients with a positive, limits need {MIN_PATIENTS}"
    assert np.isnan(men["auc"])
    assert men[["sensitivity", "specificity", "excess"]].notna().all()
    assert men[["auc_low", "auc_high", "sensitivity_low", "specificity_high", "excess_low"]].isna().all()


def test_a_subgroup_without_a_positive_is_kept_and_explained():
    y, score, groups, cases = clinic()
    cases[SITE] = np.where(y == 1, "torso", np.where(np.arange(1200) < 600, "palms/soles", "torso"))
    palms = by_value(subgroup_table(y, score, groups, cases, replicates=5), "site").loc["palms/soles"]
    assert palms[["auc", "sensitivity"]].isna().all()
    assert palms["specificity"] > 0
    assert palms["prevalence"] == 0
    few = "too few for an AUC: 0 malignant, 485 benign"
    assert palms["note"].startswith(f"no positive; {few}; 0 patients with a positive")


def test_other_columns_can_be_mapped_to_kinds():
    y, score, groups, cases = clinic()
    cases = cases.rename(columns={"sex": "gender", "age_approx": "years"}).assign(skin=np.arange(1200) % 3 + 1)
    columns = {"sex": "gender", "age": "years", "skin": "skin"}
    table = subgroup_table(y, score, groups, cases, columns=columns, replicates=2)
    assert table["kind"].unique().tolist() == ["all", "sex", "age", "skin"]
    assert by_value(table, "skin").index.to_list() == ["1", "2", "3"]
    assert by_value(table, "age").index[0] == "under 30"


def test_by_default_only_existing_columns_are_used():
    y, score, groups, cases = clinic()
    table = subgroup_table(y, score, groups, cases[["sex"]], replicates=2)
    assert table["kind"].unique().tolist() == ["all", "sex"]
    assert len(subgroup_table(y, score, groups, cases[[]], replicates=2)) == 1


def test_a_value_called_missing_is_not_confused_with_a_missing_value():
    y, score, groups, cases = clinic()
    cases["sex"] = np.where(np.arange(1200) < 400, "missing", "male")
    cases.loc[:99, "sex"] = np.nan
    rows = subgroup_table(y, score, groups, cases[["sex"]], replicates=2)["rows"]
    assert rows.to_list() == [1200, 800, 300, 100]


def test_cases_without_a_score_are_left_out():
    y, score, groups, cases = clinic()
    rows = np.arange(1200) >= 100
    table = subgroup_table(y, np.where(rows, score, np.nan), groups, cases, replicates=5)
    expected = subgroup_table(y[rows], score[rows], groups[rows], cases[rows], replicates=5)
    pd.testing.assert_frame_equal(table, expected)


def test_all_faults_are_reported_together():
    y, score, groups, cases = clinic()
    cases = cases.assign(age_approx="old", many=np.arange(1200))
    columns = {"sex": "sexx", "age": "age_approx", "many": "many"}
    with pytest.raises(InputFault) as fault:
        subgroup_table(y, score * 5, groups, cases, columns=columns)
    message = str(fault.value)
    assert "4 faults" in message
    assert "no column 'sexx'; did you mean 'sex'?" in message
    assert "'age_approx' must hold ages in years; found 1 (old)" in message
    assert "'many' has 1200 values" in message
    assert "between 0 and 1" in message


def test_scores_that_are_all_nan_are_refused():
    y, score, groups, cases = clinic()
    with pytest.raises(InputFault, match="every row is NaN"):
        subgroup_table(y, np.full_like(score, np.nan), groups, cases)


def test_scores_at_the_threshold_are_predicted_malignant():
    y, score = np.array([1.0] * 10 + [0.0] * 10), np.r_[np.full(9, 0.8), 0.1, np.full(4, 0.8), np.full(6, 0.2)]
    row = subgroup_table(y, score, np.arange(20).astype(object), pd.DataFrame(index=range(20)), replicates=2).iloc[0]
    assert row[["threshold", "sensitivity", "specificity"]].to_list() == pytest.approx([0.8, 0.9, 0.6])


def test_folds_that_a_column_makes_are_subgroups_in_their_order() -> None:
    cases = pd.DataFrame({"fold": [1, 0, 1, -1]}, index=list("abcd"))
    facts = {"made_from": {"by": "hospital"}, "fold_names": ["Vienna", "Basel and Athens"]}
    column = with_fold_names(cases, facts)["fold by hospital"]
    assert column.tolist()[:3] == ["Basel and Athens", "Vienna", "Basel and Athens"]
    assert pd.isna(column.iloc[3])
    train = with_fold_names(cases, facts).iloc[:3]
    groups = list_groups(np.array([0.1, 0.2, 0.3]), train)
    assert [(each.kind, each.value) for each in groups[1:]] == [
        ("fold by hospital", "Vienna"),
        ("fold by hospital", "Basel and Athens"),
    ]


def test_folds_by_patient_are_no_subgroups() -> None:
    cases = pd.DataFrame({"fold": [1, 0]})
    assert with_fold_names(cases, {"made_from": {"folds": 2}}) is cases
