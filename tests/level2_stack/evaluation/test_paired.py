"""Paired tests against DeLong's covariance from its definition, under the null hypothesis, and against each other."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from level2_stack.evaluation.auc import auc, patient_bootstrap
from level2_stack.evaluation.paired import bootstrap_p, compare
from tests.level2_stack.evaluation.pair_wins import wins

ROWS = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0]), st.integers(-5, 5), st.integers(-5, 5)), min_size=4, max_size=30
).filter(lambda rows: 2 <= sum(row[0] for row in rows) <= len(rows) - 2)


def delong_variance(y, score, against):
    """Return var + var - 2 cov of DeLong et al. 1988, from all pairs of a positive and a negative."""
    parts = [np.stack([wins(y, s).mean(axis=axis) for s in (score, against)]) for axis in (1, 0)]
    covariance = sum(np.cov(part) / part.shape[1] for part in parts)
    return covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]


def delong(y, score, against):
    """Return z and p of DeLong's test from `compare`."""
    scores = pd.DataFrame({"score": score, "against": against})
    row = compare(y, scores, np.arange(len(y)).astype(object), replicates=1).iloc[0]
    return row["z_delong"], row["p_delong"]


def draw_scores(n=400, seed=0):
    random = np.random.default_rng(seed)
    y = (random.random(n) < 0.25).astype(float)
    base = y + random.normal(size=n)
    scores = pd.DataFrame({"a": base, "b": base + 0.5 * random.normal(size=n), "c": base + 0.5 * random.normal(size=n)})
    return y, scores, np.array([f"patient_{i // 4}" for i in range(n)], dtype=object)


@settings(deadline=None, max_examples=50)
@given(ROWS)
def test_paired_delong_agrees_with_its_covariance_over_all_pairs(rows):
    y, score, against = np.array(rows, dtype=np.float64).T
    (z, p), variance = delong(y, score, against), delong_variance(y, score, against)
    gain = wins(y, score).mean() - wins(y, against).mean()
    if variance < 1e-12:
        assert z == 0 if abs(gain) < 1e-12 else np.isnan(z)
        return
    assert z == pytest.approx(gain / np.sqrt(variance), abs=1e-9)
    assert p == pytest.approx(2 * norm.cdf(-abs(gain) / np.sqrt(variance)), abs=1e-9)


@settings(deadline=None, max_examples=50)
@given(ROWS)
def test_scores_with_the_same_order_have_z_0_and_p_1(rows):
    y, score, _ = np.array(rows, dtype=np.float64).T
    assert delong(y, score, score) == (0, 1)
    assert delong(y, score, np.exp(score) / 7) == (0, 1)


@settings(deadline=None, max_examples=50)
@given(ROWS)
def test_the_reversed_pair_has_the_opposite_sign(rows):
    y, score, against = np.array(rows, dtype=np.float64).T
    (z, p), (other_z, other_p) = delong(y, score, against), delong(y, against, score)
    assert (z, p) == pytest.approx((-other_z, other_p), nan_ok=True)


def test_a_difference_without_variance_has_no_p():
    y = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    assert np.isnan(delong(y, y, -y)).all()


def test_with_one_positive_the_test_is_nan():
    y = np.array([1.0, 0.0, 0.0, 0.0])
    assert np.isnan(delong(y, np.arange(4.0), np.arange(4.0)[::-1])).all()


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ([0.1] * 99, 0.02),
        ([-0.1] * 99, 0.02),
        ([0.0] * 99, 1.0),
        ([0.1] * 95 + [-0.1] * 4, 0.1),
        ([0.1] * 95 + [-0.1] * 4 + [np.nan] * 50, 0.1),
        ([np.nan], np.nan),
    ],
)
def test_bootstrap_p_is_twice_the_smaller_side(gains, expected):
    assert bootstrap_p(np.array(gains)) == pytest.approx(expected, nan_ok=True)


def test_by_default_every_two_models_are_compared_once():
    y, scores, groups = draw_scores()
    table = compare(y, scores, groups, replicates=50)
    assert list(zip(table["model"], table["against"], strict=True)) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert (table["gain"] == table["auc"] - table["auc_against"]).all()
    assert table.loc[2, "auc"] == pytest.approx(auc(y, scores["b"].to_numpy()))
    assert (table["rows"] == 400).all()
    assert (table["positives"] == y.sum()).all()


def test_a_pair_has_the_gain_of_the_leaderboard():
    y, scores, groups = draw_scores()
    row = compare(y, scores, groups, pairs=[("b", "a")], replicates=80, seed=2).iloc[0]
    leaderboard_row = patient_bootstrap(y, scores, groups, reference="b", replicates=80, seed=2).loc["a"]
    assert row[["gain", "low", "high"]].to_list() == leaderboard_row[["gain", "gain_low", "gain_high"]].to_list()


def test_a_model_has_no_gain_over_itself():
    y, scores, groups = draw_scores()
    row = compare(y, scores, groups, pairs=[("a", "a")], replicates=30).iloc[0]
    assert row[["gain", "low", "high", "z_delong"]].to_list() == [0, 0, 0, 0]
    assert row[["p_bootstrap", "p_delong"]].to_list() == [1, 1]


def test_a_pair_is_compared_on_the_rows_both_have():
    y, scores, groups = draw_scores()
    scores = scores.assign(b=scores["b"].where(np.arange(400) >= 90), c=scores["c"].where(np.arange(400) < 350))
    row = compare(y, scores, groups, pairs=[("b", "c")], replicates=10).iloc[0]
    both = slice(90, 350)
    b, c = (scores[name].to_numpy()[both] for name in "bc")
    assert row["rows"] == 260
    assert row["gain"] == pytest.approx(auc(y[both], b) - auc(y[both], c))
    assert (row["z_delong"], row["p_delong"]) == pytest.approx(delong(y[both], b, c))


def test_models_without_common_rows_are_not_compared():
    y, scores, groups = draw_scores()
    scores = scores.assign(a=scores["a"].where(np.arange(400) < 200), b=scores["b"].where(np.arange(400) >= 200))
    row = compare(y, scores, groups, pairs=[("a", "b")], replicates=5).iloc[0]
    assert row["rows"] == 0
    assert row[["gain", "low", "high", "p_bootstrap", "z_delong", "p_delong"]].isna().all()


def test_without_pairs_the_table_is_empty_but_has_its_columns():
    y, scores, groups = draw_scores()
    table = compare(y, scores[["a"]], groups, replicates=5)
    assert table.empty
    assert {"model", "gain", "p_bootstrap", "p_delong"} <= set(table.columns)


def test_both_tests_find_a_true_gain():
    y, scores, groups = draw_scores(n=1200)
    scores = scores.assign(c=scores["a"] - y)
    row = compare(y, scores, groups, pairs=[("a", "c")], replicates=200).iloc[0]
    assert row["low"] > 0
    assert row["p_bootstrap"] < 0.02
    assert row["p_delong"] < 1e-6


def test_about_one_of_twenty_comparisons_of_equal_models_is_significant():
    """b and c have the same signal with independent noise, and every row is a patient of its own."""
    tables = []
    for seed in range(100):
        y, scores, _ = draw_scores(n=240, seed=seed)
        tables.append(compare(y, scores, np.arange(240).astype(object), pairs=[("b", "c")], replicates=150, seed=seed))
    table = pd.concat(tables)
    assert 1 <= (table["p_delong"] < 0.05).sum() <= 12  # 5 expected, standard deviation 2.2
    assert 1 <= (table["p_bootstrap"] < 0.05).sum() <= 12
    assert np.corrcoef(table["p_delong"], table["p_bootstrap"])[0, 1] > 0.95
