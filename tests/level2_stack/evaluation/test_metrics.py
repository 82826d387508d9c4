"""Clinical metrics against scikit-learn, their definitions, and tables with repeated patients."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from sklearn.metrics import auc, average_precision_score, roc_auc_score, roc_curve

from level2_stack.evaluation.auc import PatientROC, delong_interval, patient_bootstrap
from level2_stack.evaluation.metrics import (
    CURVE_METRICS,
    TOP_METRICS,
    average_precision,
    clinical_metrics,
    partial_area,
    sensitivity_at,
    specificity_at,
    top_chance,
)

PARTIAL = "partial_auc_above_80_sensitivity"
# label, score, patient
ROWS = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0]), st.integers(-6, 6), st.integers(0, 5)), min_size=2, max_size=40
).filter(lambda rows: len({row[0] for row in rows}) == 2)
TIMES = st.lists(st.integers(0, 3), min_size=6, max_size=6)


def columns(rows):
    y, score, patient = np.array(rows, dtype=np.float64).T
    return y, score, patient.astype(int)


def roc_weights(y, score, weights=None):
    counts = np.ones(len(y)) if weights is None else weights
    return PatientROC(y, score, np.arange(len(y)), len(y))(counts[:, np.newaxis])


def values(y, score, groups, **options):
    table = clinical_metrics(y, pd.DataFrame({"m": score}), groups.astype(object), **({"replicates": 0} | options))
    return table.set_index("metric")["value"]


def clinic(n=900, seed=0):
    random = np.random.default_rng(seed)
    y = (random.random(n) < 0.1).astype(float)
    return y, y + random.normal(size=n), np.array([f"patient_{i // 20}" for i in range(n)], dtype=object)


@settings(deadline=None, max_examples=40)
@given(ROWS)
def test_partial_auc_is_that_of_the_reversed_curve_left_of_a_fifth(rows):
    y, score, _ = columns(rows)
    max_fpr = 0.2
    standard_auc = roc_auc_score(1 - y, -score, max_fpr=max_fpr)  # scikit-learn: 0.5 for chance, 1 for perfect
    chance = max_fpr**2 / 2
    expected = chance + (standard_auc - 0.5) / 0.5 * (max_fpr - chance)
    assert partial_area(roc_weights(y, score)).item() == pytest.approx(expected)


def contest_metric(y, score, min_sensitivity=0.8):
    """Return the partial AUC as ISIC 2024 defines it: labels and scores reversed, left of 0.2, the last step cut."""
    fpr, tpr, _ = roc_curve(1 - y, -score)
    max_fpr = 1 - min_sensitivity
    stop = np.searchsorted(fpr, max_fpr, "right")
    end = np.interp(max_fpr, fpr[stop - 1 : stop + 1], tpr[stop - 1 : stop + 1])
    return auc(np.r_[fpr[:stop], max_fpr], np.r_[tpr[:stop], end])


@pytest.mark.parametrize("decimals", [1, 8])  # many ties, and none
def test_partial_auc_is_that_of_the_contest_at_one_malignant_lesion_in_a_thousand(decimals):
    random = np.random.default_rng(decimals)
    y = np.zeros(40_000)
    y[random.choice(len(y), 39, replace=False)] = 1  # a fifth of 39 is not a whole number: the last step is cut
    score = (y * 1.5 + random.normal(size=len(y))).round(decimals)
    assert partial_area(roc_weights(y, score)).item() == pytest.approx(contest_metric(y, score), abs=1e-12)


@pytest.mark.parametrize(("score", "expected"), [([0, 0, 1, 1], 0.2), ([1, 1, 0, 0], 0.0), ([5, 5, 5, 5], 0.02)])
def test_partial_auc_of_perfect_reversed_and_constant_scores(score, expected):
    y = np.array([0.0, 0.0, 1.0, 1.0])
    assert partial_area(roc_weights(y, np.array(score, dtype=float))).item() == pytest.approx(expected)


@settings(deadline=None, max_examples=40)
@given(ROWS)
def test_partial_auc_above_sensitivity_0_is_the_auc(rows):
    y, score, _ = columns(rows)
    assert partial_area(roc_weights(y, score), percent=0).item() == pytest.approx(roc_auc_score(y, score))


@settings(deadline=None, max_examples=40)
@given(ROWS)
def test_average_precision_is_that_of_scikit_learn(rows):
    y, score, _ = columns(rows)
    assert average_precision(roc_weights(y, score)).item() == pytest.approx(average_precision_score(y, score))


@settings(deadline=None, max_examples=40)
@given(ROWS, st.sampled_from([95, 90, 80, 50]))
def test_working_points_are_the_best_of_all_thresholds(rows, percent):
    y, score, _ = columns(rows)
    is_malignant = score >= np.append(score, np.inf)[:, np.newaxis]
    sensitivity, specificity = is_malignant[:, y == 1].mean(axis=1), (~is_malignant)[:, y == 0].mean(axis=1)
    enough = percent / 100 - 1e-12
    assert sensitivity_at(roc_weights(y, score), percent).item() == pytest.approx(
        sensitivity[specificity >= enough].max()
    )
    assert specificity_at(roc_weights(y, score), percent).item() == pytest.approx(
        specificity[sensitivity >= enough].max()
    )


def test_nineteen_of_twenty_are_95_percent():
    y = np.r_[np.ones(1), np.zeros(20)]
    one_above, two_above = (np.r_[0.5, np.zeros(20 - above), np.ones(above)] for above in (1, 2))
    assert sensitivity_at(roc_weights(y, one_above), 95).item() == 1.0
    assert sensitivity_at(roc_weights(y, two_above), 95).item() == 0.0


@settings(deadline=None, max_examples=40)
@given(ROWS)
def test_ranks_have_the_same_metrics_as_their_scores(rows):
    y, score, patients = columns(rows)
    pd.testing.assert_series_equal(values(y, score, patients), values(y, rankdata(score), patients))


@settings(deadline=None, max_examples=40)
@given(ROWS, TIMES)
def test_a_patient_drawn_twice_counts_as_two_patients(rows, times):
    y, score, patients = columns(rows)
    copies = np.array([copy for patient in patients for copy in range(times[patient])], dtype=int)
    repeats = np.array(times)[patients]
    long_y, long_score = np.repeat(y, repeats), np.repeat(score, repeats)
    weights = repeats.astype(float)
    together, apart = roc_weights(y, score, weights), roc_weights(long_y, long_score)
    for metric in CURVE_METRICS.values():
        assert metric(together) == pytest.approx(metric(apart), nan_ok=True)
    hits = (y * top_chance(score, patients, top=2) * weights).sum()
    new_patients = np.repeat(patients, repeats) * 10 + copies
    assert hits == pytest.approx((long_y * top_chance(long_score, new_patients, top=2)).sum())


def test_metrics_without_a_value_are_left_out():
    groups = np.array(["p"] * 20, dtype=object)  # a constant score has 15 / 20 of the hits
    assert values(np.zeros(20), np.arange(20.0), groups).empty
    assert values(np.ones(20), np.arange(20.0), groups).to_dict() == dict(
        zip(TOP_METRICS, (15, 0.75, 0.75), strict=True)
    )


@pytest.mark.parametrize(("pictures", "is_listed"), [(15, False), (16, False), (17, True)])
def test_the_top_scores_are_listed_if_a_constant_score_misses_a_tenth_of_the_positives(pictures, is_listed):
    groups = np.repeat(np.array(["a", "b"], dtype=object), [pictures, 40])
    y = np.r_[1.0, np.zeros(len(groups) - 1)]
    assert set(TOP_METRICS).isdisjoint(values(y, np.arange(len(y)), groups).index) is not is_listed


def test_only_average_precision_names_a_prevalence():
    y, score, groups = clinic()
    for prevalence, expected in ((None, y.mean()), (0.0176, 0.0176)):
        table = clinical_metrics(y, pd.DataFrame({"m": score}), groups, prevalence=prevalence, replicates=0)
        column = table.set_index("metric")["prevalence"]
        assert column["average_precision"] == expected
        assert column.drop("average_precision").isna().all()


@settings(deadline=None, max_examples=40)
@given(ROWS, st.sampled_from([0.0176, 0.3, 0.9]))
def test_average_precision_at_a_prevalence_is_that_of_scikit_learn_with_weights(rows, prevalence):
    y, score, _ = columns(rows)
    weights = np.where(y == 1, prevalence / y.mean(), (1 - prevalence) / (1 - y.mean()))
    expected = average_precision_score(y, score, sample_weight=weights)
    assert average_precision(roc_weights(y, score), prevalence).item() == pytest.approx(expected)


def test_the_prevalence_holds_in_every_replicate():
    y, _, groups = clinic(n=2000)
    table = clinical_metrics(y, pd.DataFrame({"m": np.zeros(2000)}), groups, prevalence=0.25, replicates=50)
    row = table.set_index("metric").loc["average_precision"]
    assert row[["value", "low", "high"]].to_list() == pytest.approx([0.25] * 3)


def test_the_top_scores_are_those_within_each_patient():
    score = np.array([0.9, 0.1, 0.5, 0.2, 0.3])
    patient_of = np.array([0, 0, 0, 1, 1])
    assert top_chance(score, patient_of, top=1).tolist() == [1, 0, 0, 0, 1]
    assert top_chance(score, patient_of, top=2).tolist() == [1, 0, 1, 1, 1]


def test_equal_scores_share_the_last_ranks():
    score = np.array([0.9, 0.5, 0.5, 0.5, 0.1])
    chance = top_chance(score, np.zeros(5, dtype=int), top=3)
    assert chance.tolist() == pytest.approx([1, 2 / 3, 2 / 3, 2 / 3, 0])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=30), st.integers(1, 8))
def test_every_patient_has_the_top_number_of_hits_or_as_many_as_pictures(rows, top):
    score, patient_of = np.array(rows, dtype=int).reshape(-1, 2).T
    chance = top_chance(score.astype(float), patient_of, top=top)
    for patient in set(patient_of):
        own = patient_of == patient
        assert chance[own].sum() == pytest.approx(min(top, own.sum()))


def test_top_hits_are_counted_over_pictures_and_averaged_over_patients():
    """One of the two melanomas of patient a is among the first 15 of 30 pictures, and so is the only one of b."""
    y, score = np.zeros(32), np.arange(32.0)
    y[[0, 29, 31]] = 1
    groups = np.array(["a"] * 30 + ["b"] * 2, dtype=object)
    metrics = values(y, score, groups)
    assert metrics["top15_hits"] == 2
    assert metrics["top15_sensitivity"] == pytest.approx(2 / 3)
    assert metrics["top15_patient_sensitivity"] == pytest.approx((1 / 2 + 1) / 2)


def test_the_table_has_every_model_and_metric_and_intervals_contain_the_value():
    y, score, groups = clinic()
    table = clinical_metrics(y, pd.DataFrame({"good": score + y, "bad": score}), groups, replicates=200)
    assert table["model"].value_counts().to_dict() == {"good": 13, "bad": 13}
    assert list(table["metric"][:3]) == ["auc", "auc_delong", PARTIAL]
    resampled_rows = table[table["metric"] != "auc_delong"]
    assert (resampled_rows["replicates"] == 200).all()
    assert (resampled_rows["low"] <= resampled_rows["value"]).all()
    assert (resampled_rows["value"] <= resampled_rows["high"]).all()
    shares = resampled_rows[~resampled_rows["metric"].eq("top15_hits")]
    assert shares[["low", "high"]].stack().between(0, 1).all()


def test_the_intervals_of_the_auc_are_those_of_the_leaderboard_and_of_delong():
    y, score, groups = clinic()
    scores = pd.DataFrame({"m": score})
    table = clinical_metrics(y, scores, groups, replicates=60, seed=4).set_index("metric")
    row = patient_bootstrap(y, scores, groups, replicates=60, seed=4).loc["m"]
    assert table.loc["auc", ["value", "low", "high"]].to_list() == row[["auc", "low", "high"]].to_list()
    assert tuple(table.loc["auc_delong", ["value", "low", "high"]]) == delong_interval(y, score)


def test_a_model_with_gaps_is_scored_on_its_own_rows():
    y, score, groups = clinic()
    gappy = np.where(np.arange(900) < 100, np.nan, score)
    table = clinical_metrics(y, pd.DataFrame({"whole": score, "gappy": gappy}), groups, replicates=0)
    alone = values(y[100:], score[100:], groups[100:])
    rows = table[table["model"] == "gappy"].set_index("metric")
    pd.testing.assert_series_equal(rows["value"], alone)
    assert (rows[["rows", "positives", "patients"]] == [800, y[100:].sum(), 40]).all(axis=None)


def test_replicates_with_one_class_are_not_counted():
    y, score = np.array([1.0, 0.0, 0.0, 0.0]), np.array([0.9, 0.1, 0.95, 0.2])
    table = clinical_metrics(y, pd.DataFrame({"m": score}), np.array(list("pqrs"), dtype=object), replicates=200)
    n_replicates = table.set_index("metric").loc["auc", "replicates"]
    assert n_replicates == pytest.approx(200 * (1 - 0.75**4), abs=25)  # the probability that the only melanoma is drawn


def test_a_model_without_any_score_has_no_metrics():
    y, _, groups = clinic(n=40)
    table = clinical_metrics(y, pd.DataFrame({"empty": np.full(40, np.nan)}), groups, replicates=3)
    assert table.empty
    assert "value" in table


def test_intervals_of_partial_auc_cover_its_true_value():
    """The true value comes from a sample so large that its error is far smaller than an interval."""
    random = np.random.default_rng(1)
    many = np.r_[np.ones(100_000), np.zeros(100_000)]
    truth = partial_area(roc_weights(many, many * 1.5 + random.normal(size=len(many)))).item()
    n_covering = 0
    for _ in range(50):
        y = np.r_[np.ones(80), np.zeros(240)]
        score = pd.DataFrame({"m": 1.5 * y + random.normal(size=320)})
        row = clinical_metrics(y, score, np.arange(320).astype(object), replicates=120).set_index("metric").loc[PARTIAL]
        n_covering += row["low"] <= truth <= row["high"]
    assert 42 <= n_covering <= 50  # 47.5 expected, standard deviation 1.5
