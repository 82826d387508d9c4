"""AUC, bootstrap and DeLong against anchors, scikit-learn and their own definitions."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from level2_stack.evaluate import WeightedAUC, auc, delong_interval, delong_variance, patient_bootstrap

Y = np.array([0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0])
SCORE = np.array([0.1, 0.4, 0.4, 0.35, 0.8, 0.3, 0.2])
LABELLED = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0]), st.integers(-5, 5), st.integers(0, 3)), min_size=2, max_size=30
).filter(lambda rows: len({row[0] for row in rows if row[2]}) == 2)


def labelled(n=600, seed=0, signal=1.0):
    random = np.random.default_rng(seed)
    y = (random.random(n) < 0.2).astype(float)
    return y, signal * y + random.normal(size=n), np.array([f"patient_{i // 3}" for i in range(n)], dtype=object)


@pytest.mark.parametrize(("score", "expected"), [(Y, 1.0), (-Y, 0.0), (np.zeros(7), 0.5)])
def test_auc_has_its_anchors(score, expected):
    assert auc(Y, score) == expected
    assert WeightedAUC(Y, score)(np.ones(7)) == expected


def test_auc_of_one_class_is_unknown():
    assert np.isnan(auc(np.zeros(3), np.arange(3.0)))
    assert np.isnan(WeightedAUC(Y, SCORE)(1 - Y))


def test_auc_of_ranks_is_auc_of_scores():
    y, score, _ = labelled()
    assert auc(y, rankdata(score)) == auc(y, score)


@settings(deadline=None)
@given(LABELLED)
def test_weighted_auc_is_that_of_scikit_learn(rows):
    y, score, weights = np.array(rows, dtype=np.float64).T
    assert WeightedAUC(y, score)(weights) == pytest.approx(roc_auc_score(y, score, sample_weight=weights))


@settings(deadline=None)
@given(LABELLED)
def test_a_weight_counts_as_that_many_rows(rows):
    y, score, weights = np.array(rows, dtype=np.float64).T
    times = weights.astype(int)
    assert WeightedAUC(y, score)(weights) == pytest.approx(auc(np.repeat(y, times), np.repeat(score, times)))


def test_bootstrap_gives_the_exact_auc_within_its_interval():
    y, score, groups = labelled()
    row = patient_bootstrap(y, pd.DataFrame({"m": score}), groups, replicates=200).loc["m"]
    assert row["auc"] == pytest.approx(auc(y, score))
    assert row["low"] < row["auc"] < row["high"]


def test_bootstrap_with_independent_patients_agrees_with_delong():
    y, score, _ = labelled(n=2000)
    single = np.arange(2000).astype(object)
    row = patient_bootstrap(y, pd.DataFrame({"m": score}), single, replicates=400).loc["m"]
    interval = delong_interval(y, score)
    assert row["high"] - row["low"] == pytest.approx(interval.high - interval.low, rel=0.15)


def test_bootstrap_resamples_patients_and_not_rows():
    y, score, _ = labelled(n=300)
    alone = patient_bootstrap(y, pd.DataFrame({"m": score}), np.arange(300).astype(object), replicates=300).loc["m"]
    # Every row four times says no more than once, as long as the four belong to one patient.
    tiled = patient_bootstrap(
        np.tile(y, 4), pd.DataFrame({"m": np.tile(score, 4)}), np.tile(np.arange(300).astype(object), 4), replicates=300
    ).loc["m"]
    assert tiled["high"] - tiled["low"] == pytest.approx(alone["high"] - alone["low"])


def test_paired_gain_is_sharper_than_two_intervals():
    y, score, groups = labelled()
    better = score + 0.1 * y
    frame = patient_bootstrap(y, pd.DataFrame({"old": score, "new": better}), groups, reference="new", replicates=200)
    old = frame.loc["old"]
    assert old["gain"] == pytest.approx(auc(y, better) - auc(y, score))
    assert 0 < old["gain_low"] < old["gain"] < old["gain_high"]
    assert old["gain_high"] - old["gain_low"] < 0.3 * (old["high"] - old["low"])
    assert frame.loc["new", ["gain", "gain_low", "gain_high"]].eq(0).all()


def test_a_model_with_gaps_is_scored_and_compared_on_its_own_rows():
    y, score, groups = labelled()
    gappy = np.where(np.arange(600) < 100, np.nan, -score)
    frame = patient_bootstrap(y, pd.DataFrame({"m": score, "gappy": gappy}), groups, reference="m", replicates=20)
    assert frame.loc["gappy", "auc"] == pytest.approx(auc(y[100:], -score[100:]))
    assert frame.loc["gappy", "gain"] == pytest.approx(auc(y[100:], score[100:]) - auc(y[100:], -score[100:]))


def test_equal_seeds_draw_equal_intervals_and_others_do_not():
    y, score, groups = labelled()
    one, same, other = (
        patient_bootstrap(y, pd.DataFrame({"m": score}), groups, replicates=50, seed=seed) for seed in (1, 1, 2)
    )
    pd.testing.assert_frame_equal(one, same)
    assert one.loc["m", "low"] != other.loc["m", "low"]


def test_replicates_without_a_positive_patient_say_nothing():
    y, score = np.array([1.0, 0.0, 0.0, 0.0]), np.array([0.9, 0.1, 0.95, 0.2])
    groups = np.array(list("pqrs"), dtype=object)
    row = patient_bootstrap(y, pd.DataFrame({"m": score}), groups, replicates=100).loc["m"]
    assert 0 <= row["low"] <= row["auc"] <= row["high"] <= 1


def test_delong_variance_is_its_definition():
    positives, negatives = SCORE[Y == 1], SCORE[Y == 0]
    wins = (positives[:, np.newaxis] > negatives) + 0.5 * (positives[:, np.newaxis] == negatives)
    by_definition = wins.mean(axis=1).var(ddof=1) / 3 + wins.mean(axis=0).var(ddof=1) / 4
    assert delong_variance(Y, SCORE) == pytest.approx(by_definition)
    assert delong_interval(Y, SCORE).value == pytest.approx(wins.mean())


def test_delong_interval_stays_within_0_and_1():
    interval = delong_interval(Y, SCORE)
    assert 0 <= interval.low < interval.value < interval.high <= 1


def test_delong_of_one_positive_is_unknown():
    assert np.isnan(delong_variance(np.array([1.0, 0.0, 0.0]), np.arange(3.0)))
