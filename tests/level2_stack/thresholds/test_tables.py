"""Tests of the tables at the thresholds: risk and coverage, conformal sets, subgroups."""

import numpy as np
import pandas as pd
import pytest

from level2_stack.calibration.reliability import class_weights
from level2_stack.thresholds.conformal import conformal_sets, conformal_table
from level2_stack.thresholds.freeze import NestedRows, freeze_threshold
from level2_stack.thresholds.referral import risk_coverage
from level2_stack.thresholds.tables import threshold_tables


def drawn_rows(count=2000, seed=0, prevalence=None):
    random = np.random.default_rng(seed)
    y = (random.random(count) < 0.2).astype(float)
    score = 1 / (1 + np.exp(-random.normal(1.5 * y - 1)))
    folds, groups = np.arange(count) // 2 % 5, (np.arange(count) // 2).astype(object)
    inner = [score[folds != fold] for fold in range(5)]
    return NestedRows(y, groups, folds, inner, score, score, prevalence)


def cases_of(rows):
    return pd.DataFrame({"sex": np.where(np.arange(len(rows.y)) % 3 == 0, "female", "male")})


def test_risk_is_the_malignant_share_of_the_cases_below_the_threshold():
    rows = drawn_rows()
    curve = risk_coverage(rows, points=20, replicates=50)
    for row in curve.itertuples():
        below = rows.outer < row.threshold
        assert row.coverage == pytest.approx(below.mean())
        assert row.risk == pytest.approx(rows.y[below].mean())
        assert row.risk_low <= row.risk <= row.risk_high
    assert curve["coverage"].is_monotonic_increasing


def test_risk_and_coverage_stand_at_the_deployment_prevalence():
    curve = risk_coverage(drawn_rows(prevalence=0.01), points=10, replicates=5)
    assert curve["risk"].max() < 0.01
    rows = drawn_rows(prevalence=0.01)
    weights, below = class_weights(rows.y, 0.01), rows.outer < curve["threshold"].iloc[-1]
    assert curve["coverage"].iloc[-1] == pytest.approx(weights[below].sum() / weights.sum())


def test_conformal_sets_cover_each_class_however_rare_it_is():
    shares = []
    for seed in range(60):
        rows = drawn_rows(400, seed)
        sets = conformal_sets(rows, 0.9)
        shares.append([sets[rows.y == 1, 0].mean(), sets[rows.y == 0, 1].mean()])
    assert np.mean(shares, axis=0) == pytest.approx([0.905, 0.9], abs=0.012)
    assert (np.mean(shares, axis=0) > 0.895).all()


def test_the_conformal_set_of_a_row_does_not_depend_on_the_targets_of_its_fold():
    rows = drawn_rows(400)
    other = NestedRows(
        np.where(rows.folds == 1, 1 - rows.y, rows.y), rows.groups, rows.folds, rows.inner, rows.outer, rows.mean
    )
    own = rows.folds == 1
    assert (conformal_sets(rows, 0.9)[own] == conformal_sets(other, 0.9)[own]).all()


def test_too_few_malignant_cases_for_a_coverage_put_the_class_into_every_set():
    y = np.r_[np.ones(5), np.zeros(95)]
    folds = np.arange(100) % 5
    score = np.linspace(0.1, 0.9, 100)
    rows = NestedRows(y, np.arange(100).astype(object), folds, [score[folds != f] for f in range(5)], score, score)
    sets = conformal_sets(rows, 0.9)
    assert sets[:, 0].all()


def test_the_conformal_table_has_the_coverage_of_every_subgroup_and_class():
    rows = drawn_rows(600)
    cases, sets = cases_of(rows), conformal_sets(rows, 0.9)
    table = conformal_table(rows, cases, 0.9, replicates=30).set_index(["kind", "value", "class"])
    women = (cases["sex"] == "female").to_numpy() & (rows.y == 1)
    row = table.loc[("sex", "female", "malignant")]
    assert row["coverage"] == pytest.approx(sets[women, 0].mean())
    assert row["rows"] == women.sum()
    assert row[["only_malignant", "only_benign", "both", "empty"]].sum() == pytest.approx(1)
    assert set(table["aim"]) == {0.9}


def test_subgroups_have_the_measures_and_the_prevalence_of_the_operating_point():
    rows = drawn_rows(prevalence=0.05)
    points = [freeze_threshold(rows, "specificity", 0.9), freeze_threshold(rows, "sensitivity", 0.9)]
    all_rows = threshold_tables(rows, points, cases_of(rows), 0.9)["subgroups"].iloc[0]
    assert all_rows["threshold"] == points[1].threshold
    assert all_rows["sensitivity"] == pytest.approx(points[1].measures["sensitivity"].value)
    assert all_rows["specificity"] == pytest.approx(points[1].measures["specificity"].value)
    assert all_rows["prevalence"] == pytest.approx(0.05)
    weights = class_weights(rows.y, 0.05)
    assert all_rows["mean_predicted"] == pytest.approx(np.average(rows.outer, weights=weights))
