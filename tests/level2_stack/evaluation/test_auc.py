"""AUC, bootstrap and DeLong against exact values, scikit-learn and their own definitions."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from level2_stack.evaluation.auc import (
    Draws,
    PatientROC,
    auc,
    delong_components,
    delong_interval,
    delong_variance,
    patient_bootstrap,
    percentile_interval,
    replicate,
)
from tests.level2_stack.evaluation.pair_wins import wins

Y = np.array([0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0])
SCORE = np.array([0.1, 0.4, 0.4, 0.35, 0.8, 0.3, 0.2])
WEIGHTED_ROWS = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0]), st.integers(-5, 5), st.integers(0, 3)), min_size=2, max_size=30
).filter(lambda rows: len({row[0] for row in rows if row[2]}) == 2)


def draw_rows(n=600, seed=0, signal=1.0):
    random = np.random.default_rng(seed)
    y = (random.random(n) < 0.2).astype(float)
    return y, signal * y + random.normal(size=n), np.array([f"patient_{i // 3}" for i in range(n)], dtype=object)


def weighted_auc(y, score, weights):
    return PatientROC(y, score, np.arange(len(y)), len(y))(weights[:, np.newaxis]).area().item()


@pytest.mark.parametrize(("score", "expected"), [(Y, 1.0), (-Y, 0.0), (np.zeros(7), 0.5)])
def test_auc_is_1_for_perfect_0_for_reversed_and_one_half_for_constant_scores(score, expected):
    assert auc(Y, score) == expected
    assert weighted_auc(Y, score, np.ones(7)) == expected


def test_auc_of_one_class_is_unknown():
    assert np.isnan(auc(np.zeros(3), np.arange(3.0)))
    assert np.isnan(weighted_auc(Y, SCORE, 1 - Y))


@settings(deadline=None, max_examples=50)
@given(WEIGHTED_ROWS)
def test_weighted_auc_is_that_of_scikit_learn(rows):
    y, score, weights = np.array(rows, dtype=np.float64).T
    assert weighted_auc(y, score, weights) == pytest.approx(roc_auc_score(y, score, sample_weight=weights))


@settings(deadline=None, max_examples=50)
@given(WEIGHTED_ROWS)
def test_a_weight_counts_as_that_many_rows(rows):
    y, score, weights = np.array(rows, dtype=np.float64).T
    times = weights.astype(int)
    assert weighted_auc(y, score, weights) == pytest.approx(auc(np.repeat(y, times), np.repeat(score, times)))


@settings(deadline=None, max_examples=50)
@given(WEIGHTED_ROWS)
def test_several_weightings_together_give_the_same_as_one_by_one(rows):
    y, score, weights = np.array(rows, dtype=np.float64).T
    together = PatientROC(y, score, np.arange(len(y)), len(y))(np.stack([weights, np.ones(len(y))], axis=1)).area()
    assert together == pytest.approx([weighted_auc(y, score, weights), weighted_auc(y, score, np.ones(len(y)))])


def test_all_rows_of_a_patient_have_its_weight():
    patient_of = np.array([0, 0, 1, 1, 2, 2, 2])
    counts = np.array([2.0, 0.0, 1.0])
    patient_auc = PatientROC(Y, SCORE, patient_of, 3)(counts[:, np.newaxis]).area().item()
    assert patient_auc == pytest.approx(weighted_auc(Y, SCORE, counts[patient_of]))


def test_draws_start_with_the_sample_and_draw_every_patient_once_on_average():
    draws = Draws(np.array(list("pqqr"), dtype=object), replicates=3000, seed=0)
    sample, *rest = draws.batches(width=1000)
    counts = np.concatenate(rest, axis=1)
    assert (sample == 1).all()
    assert (counts.sum(axis=0) == 3).all()
    assert counts.mean(axis=1) == pytest.approx(np.ones(3), abs=0.05)
    assert counts.var(axis=1) == pytest.approx(np.full(3, 2 / 3), abs=0.05)  # 3 draws, each with chance 1/3


@pytest.mark.parametrize("cells", [1, 100_000, 10_000_000])
def test_the_size_of_a_batch_changes_no_replicate(cells):
    draws = Draws(np.array(list("pqqrs"), dtype=object), replicates=25, seed=3)
    counts = replicate({"counts": lambda counts: counts}, draws, cells=cells)["counts"]
    expected = np.concatenate(list(draws.batches(width=7)), axis=1)
    assert np.array_equal(counts, expected)


def test_the_order_of_rows_changes_no_interval():
    y, score, groups = draw_rows()
    order = np.random.default_rng(5).permutation(len(y))
    first = patient_bootstrap(y, pd.DataFrame({"m": score}), groups, replicates=20)
    other = patient_bootstrap(y[order], pd.DataFrame({"m": score[order]}), groups[order], replicates=20)
    pd.testing.assert_frame_equal(first, other)


def test_an_interval_ignores_replicates_without_a_value():
    assert percentile_interval(np.array([0.5, np.nan, 0.4, 0.4, np.nan])) == (0.5, 0.4, 0.4)
    assert percentile_interval(np.array([0.5, np.nan]))[0] == 0.5
    assert np.isnan(percentile_interval(np.array([0.5, np.nan]))[1:]).all()


@pytest.mark.parametrize("is_correlated", [False, True])
def test_intervals_of_resampled_patients_cover_the_true_auc(is_correlated):
    """The true AUC is 0.760 = Phi(1 / sqrt 2). A patient has two pictures; their scores may correlate 0.7."""
    random = np.random.default_rng(0)
    n_covering = 0
    for _ in range(100):
        y = np.repeat((random.random(100) < 0.4).astype(float), 2)
        common = np.repeat(random.normal(size=100), 2)
        own = random.normal(size=200)
        score = y + (np.sqrt(0.7) * common + np.sqrt(0.3) * own if is_correlated else own)
        patients = np.repeat(np.arange(100), 2).astype(object)
        row = patient_bootstrap(y, pd.DataFrame({"m": score}), patients, replicates=200).loc["m"]
        n_covering += row["low"] <= 0.7602 <= row["high"]
    assert 88 <= n_covering <= 100  # 95 expected, standard deviation 2.2


def test_bootstrap_with_independent_patients_agrees_with_delong():
    y, score, _ = draw_rows(n=2000)
    single = np.arange(2000).astype(object)
    row = patient_bootstrap(y, pd.DataFrame({"m": score}), single, replicates=400).loc["m"]
    interval = delong_interval(y, score)
    assert row["high"] - row["low"] == pytest.approx(interval.high - interval.low, rel=0.15)


def test_bootstrap_resamples_patients_and_not_rows():
    y, score, _ = draw_rows(n=300)
    alone = patient_bootstrap(y, pd.DataFrame({"m": score}), np.arange(300).astype(object), replicates=300).loc["m"]
    # Four copies of every row add no information, because they belong to one patient.
    copies = patient_bootstrap(
        np.tile(y, 4), pd.DataFrame({"m": np.tile(score, 4)}), np.tile(np.arange(300).astype(object), 4), replicates=300
    ).loc["m"]
    assert copies["high"] - copies["low"] == pytest.approx(alone["high"] - alone["low"])


def test_the_interval_of_a_paired_gain_is_narrower_than_that_of_an_auc():
    y, score, groups = draw_rows()
    better = score + 0.1 * y
    frame = patient_bootstrap(y, pd.DataFrame({"old": score, "new": better}), groups, reference="new", replicates=200)
    old = frame.loc["old"]
    assert old["gain"] == pytest.approx(auc(y, better) - auc(y, score))
    assert 0 < old["gain_low"] < old["gain"] < old["gain_high"]
    assert old["gain_high"] - old["gain_low"] < 0.3 * (old["high"] - old["low"])
    assert frame.loc["new", ["gain", "gain_low", "gain_high"]].eq(0).all()


def test_a_model_with_gaps_is_scored_and_compared_on_its_own_rows():
    y, score, groups = draw_rows()
    gappy = np.where(np.arange(600) < 100, np.nan, -score)
    frame = patient_bootstrap(y, pd.DataFrame({"m": score, "gappy": gappy}), groups, reference="m", replicates=20)
    assert frame.loc["gappy", "auc"] == pytest.approx(auc(y[100:], -score[100:]))
    assert frame.loc["gappy", "gain"] == pytest.approx(auc(y[100:], score[100:]) - auc(y[100:], -score[100:]))


def test_equal_seeds_give_equal_intervals_and_others_do_not():
    y, score, groups = draw_rows()
    first, same, other = (
        patient_bootstrap(y, pd.DataFrame({"m": score}), groups, replicates=50, seed=seed) for seed in (1, 1, 2)
    )
    pd.testing.assert_frame_equal(first, same)
    assert first.loc["m", "low"] != other.loc["m", "low"]


def test_delong_variance_agrees_with_its_definition():
    pair_wins = wins(Y, SCORE)
    expected = pair_wins.mean(axis=1).var(ddof=1) / 3 + pair_wins.mean(axis=0).var(ddof=1) / 4
    assert delong_variance(Y, SCORE) == pytest.approx(expected)
    assert delong_interval(Y, SCORE).value == pytest.approx(pair_wins.mean())


@settings(deadline=None, max_examples=50)
@given(WEIGHTED_ROWS)
def test_delong_components_are_shares_of_won_pairs(rows):
    y, score, _ = np.array(rows, dtype=np.float64).T
    of_positives, of_negatives = delong_components(y, score)
    assert of_positives == pytest.approx(wins(y, score).mean(axis=1))
    assert of_negatives == pytest.approx(wins(y, score).mean(axis=0))


def test_delong_interval_stays_within_0_and_1():
    interval = delong_interval(Y, SCORE)
    assert 0 <= interval.low < interval.value < interval.high <= 1


def test_delong_of_one_positive_is_unknown():
    assert np.isnan(delong_variance(np.array([1.0, 0.0, 0.0]), np.arange(3.0)))
