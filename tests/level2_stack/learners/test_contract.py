"""Tests of the contract for every learner in the folder, then of the properties of each."""

import sys

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import approx_fprime
from scipy.special import expit

from level2_stack import learners
from level2_stack.evaluation.auc import auc
from level2_stack.learner_contract import STAGES, HasStages, Tunable
from level2_stack.learners import caruana, catboost, logistic, mean, rank_mean, ridge
from runtime.errors import InputFault
from runtime.settings import Settings
from tests.level2_stack.learners.learner_rows import FAST, cached_fit, columns_of, design, fit_learner

every_learner = pytest.mark.parametrize("name", learners.names())
every_booster = pytest.mark.parametrize("name", sorted(FAST))


@every_learner
def test_every_learner_has_the_members_of_the_contract(name):
    learner = learners.find(name)
    assert learner.__doc__
    assert learner.USES in ("logits", "all")
    assert isinstance(learner.USES_SEED, bool)
    assert isinstance(learner.BASELINE, bool)
    assert issubclass(learner.Params, Settings)


@every_learner
def test_predictions_are_probabilities_even_with_missing_values(name):
    X = design()[0]
    probability = cached_fit(name)(columns_of(name, X))
    assert probability.shape == (len(X),)
    assert probability.dtype == np.float64
    assert np.isfinite(probability).all()
    assert probability.min() >= 0
    assert probability.max() <= 1


@every_learner
def test_a_row_without_any_value_is_predicted(name):
    empty = design()[0].iloc[:2].copy()
    empty.loc[:] = np.nan
    assert np.isfinite(cached_fit(name)(columns_of(name, empty))).all()


@every_learner
def test_equal_seeds_give_equal_predictions(name):
    X, y, groups = design()
    first, second = (predict(columns_of(name, X)) for predict in (cached_fit(name), fit_learner(name, X, y, groups)))
    np.testing.assert_array_equal(first, second)


@every_learner
def test_only_learners_with_uses_seed_depend_on_the_seed(name):
    X, y, groups = design(signal=0.1)
    first, second = (fit_learner(name, X, y, groups, seed=seed)(columns_of(name, X)) for seed in (1, 2))
    assert (not np.array_equal(first, second)) == learners.find(name).USES_SEED


@every_learner
def test_a_row_has_the_same_prediction_alone_with_others_and_in_another_order(name):
    predict, rows = cached_fit(name), columns_of(name, design()[0]).iloc[:12]
    together = predict(rows)
    np.testing.assert_array_equal(together[::-1], predict(rows.iloc[::-1]))
    np.testing.assert_array_equal(together, np.concatenate([predict(rows.iloc[[i]]) for i in range(12)]))


@every_learner
def test_an_unseen_category_counts_as_missing(name):
    X = design()[0]
    predict, rows = cached_fit(name), X.iloc[:6].copy()
    rows["metadata.site"] = pd.Categorical(["moon"] * 6, ["moon"])
    head = rows.assign(**{"metadata.site": pd.Categorical(["head"] * 6, X["metadata.site"].cat.categories)})
    missing = rows.assign(**{"metadata.site": pd.Categorical([None] * 6, X["metadata.site"].cat.categories)})
    expected = predict(columns_of(name, missing))
    np.testing.assert_array_equal(predict(columns_of(name, rows)), expected)
    np.testing.assert_array_equal(predict(columns_of(name, head)), expected)


@every_learner
def test_an_informative_network_is_used(name):
    X, y, groups = design()
    new, new_y, _ = design(seed=1)
    with_it = auc(new_y, cached_fit(name)(columns_of(name, new)))
    useless = X.assign(**{"logit.good": X["logit.noise"]})
    without = auc(
        new_y, fit_learner(name, useless, y, groups)(columns_of(name, new.assign(**{"logit.good": new["logit.noise"]})))
    )
    assert with_it > 0.7 > 0.62 > without


@every_learner
def test_nothing_is_learned_from_a_random_target(name):
    X, y, groups = design(n=600)
    new, new_y, _ = design(n=600, seed=1)
    random_y = np.random.default_rng(5).permutation(y)
    probability = fit_learner(name, X.assign(**{"logit.good": X["logit.noise"]}), random_y, groups)(
        columns_of(name, new.assign(**{"logit.good": new["logit.noise"]}))
    )
    assert 0.42 < auc(new_y, probability) < 0.58


@pytest.mark.parametrize("name", ["mean", "rank_mean"])
def test_mean_and_rank_mean_ignore_the_target(name):
    X, y, groups = design()
    np.testing.assert_array_equal(
        cached_fit(name)(columns_of(name, X)), fit_learner(name, X, 1 - y, groups)(columns_of(name, X))
    )


def test_an_unknown_learner_is_refused_with_the_most_similar_name():
    with pytest.raises(InputFault, match=r"no learner 'lgmb'.*did you mean 'lgbm'"):
        learners.find("lgmb")


def test_mean_is_the_mean_probability_of_the_networks_that_a_row_has():
    X = pd.DataFrame({"logit.a": [0.0, np.nan], "logit.b": [np.log(3.0), np.log(3.0)]})
    predict = mean.fit(mean.Params(), X, np.array([0.0, 1.0]), groups=np.array(["p", "q"], dtype=object), seed=0)
    np.testing.assert_allclose(predict(X), [0.625, 0.75])


def test_percentiles_are_mid_ranks_among_the_training_rows():
    percentiles = rank_mean.Percentiles.from_rows(pd.DataFrame({"logit.a": [1.0, 2.0, 2.0, 4.0, np.nan]}))
    ranks = percentiles(pd.DataFrame({"logit.a": [0.0, 1.0, 2.0, 3.0, 9.0, np.nan]}))["logit.a"]
    np.testing.assert_allclose(ranks, [0.0, 0.125, 0.5, 0.75, 1.0, np.nan])


def test_the_gradient_of_logistic_is_the_slope_of_its_loss():
    random = np.random.default_rng(0)
    Z, y, point = random.normal(size=(30, 3)), (random.random(30) < 0.4).astype(float), random.normal(size=4)
    slope = approx_fprime(point, lambda at: logistic.loss_and_gradient(at, Z, y, 0.7)[0], 1e-7)
    np.testing.assert_allclose(logistic.loss_and_gradient(point, Z, y, 0.7)[1], slope, rtol=1e-4, atol=1e-4)


def test_logistic_has_no_negative_weights():
    X, y, groups = design()
    X = columns_of("logistic", X).assign(**{"logit.inverted": -X["logit.good"]})
    weights = logistic.fit(logistic.Params(), X, y, groups=groups, seed=0).weights
    assert weights["logit.inverted"] == 0
    assert weights["logit.good"] > 0.5


def test_logistic_finds_the_true_weights():
    random = np.random.default_rng(1)
    X = pd.DataFrame(random.normal(size=(20_000, 2)), columns=["logit.a", "logit.b"])
    y = (random.random(20_000) < expit(-1 + 1.0 * X["logit.a"] + 0.5 * X["logit.b"]).to_numpy()).astype(float)
    weights = logistic.fit(logistic.Params(), X, y, groups=np.arange(20_000).astype(object), seed=0).weights
    np.testing.assert_allclose(list(weights.values()), [1.0, 0.5], atol=0.06)


def test_logistic_replaces_a_missing_network_by_the_mean_of_the_others():
    X = pd.DataFrame({"logit.a": [-1.0, 0.0, 1.0, 2.0], "logit.b": [-2.0, 0.0, 2.0, 4.0]})
    predict = logistic.fit(
        logistic.Params(), X, np.array([0.0, 0.0, 1.0, 1.0]), groups=X.index.to_numpy(object), seed=0
    )
    # logit.b is twice logit.a, so both are equal once standardised.
    np.testing.assert_allclose(predict(X.assign(**{"logit.b": np.nan})), predict(X))


def test_caruana_chooses_the_network_that_ranks_well():
    X, y, groups = design()
    weights = caruana.fit(caruana.Params(), columns_of("caruana", X), y, groups=groups, seed=0).weights
    assert sum(weights.values()) == pytest.approx(1)
    assert weights["logit.good"] > 0.7


def test_caruana_gives_weight_to_both_of_two_equally_good_networks():
    random = np.random.default_rng(0)
    y = (random.random(2000) < 0.3).astype(float)
    X = pd.DataFrame({f"logit.{name}": y + random.normal(size=2000) for name in "ab"})
    weights = caruana.fit(caruana.Params(), X, y, groups=np.arange(2000).astype(object), seed=0).weights
    assert min(weights.values()) > 0.3


def test_the_most_important_feature_of_a_booster_is_the_good_network():
    for name in FAST:
        importance = cached_fit(name).importance
        assert set(importance) == set(design()[0].columns)
        assert max(importance, key=importance.get) == "logit.good"


@every_booster
def test_the_last_stage_is_the_prediction(name):
    predict, new = cached_fit(name), design(seed=1)[0]
    stages = predict.stages(new)
    assert isinstance(predict, HasStages)
    assert stages.shape == (len(STAGES), len(new))
    np.testing.assert_allclose(stages[-1], predict(new), atol=1e-6)
    for share, stage in zip(STAGES, stages, strict=True):
        np.testing.assert_allclose(predict.after(new, share), stage, atol=1e-6)


@every_booster
def test_a_stage_equals_the_prediction_of_a_booster_with_as_many_rounds(name):
    X, y, groups = design()
    learner, new = learners.find(name), design(seed=1)[0]
    stages = cached_fit(name).stages(new)
    for share in (0.2, 0.5):
        fewer = FAST[name].model_copy(update={"rounds": round(60 * share)})
        shorter = learner.fit(fewer, X, y, groups=groups, seed=0)
        np.testing.assert_allclose(stages[STAGES.index(share)], shorter(new), atol=1e-6)


@every_booster
@pytest.mark.parametrize("rounds", [1, 3])
def test_with_very_few_rounds_there_are_as_many_different_stages_as_rounds(name, rounds):
    X, y, groups = design()
    learner = learners.find(name)
    predict = learner.fit(FAST[name].model_copy(update={"rounds": rounds}), X, y, groups=groups, seed=0)
    stages = predict.stages(X)
    assert len(np.unique(stages, axis=0)) == rounds
    np.testing.assert_allclose(stages[-1], predict(X), atol=1e-6)


@pytest.mark.parametrize("name", ["lgbm", "xgb"])  # CatBoost refuses a table of constant columns
def test_a_booster_without_any_split_predicts_the_share_of_positives(name):
    X, y, groups = design(n=12)
    y = np.array([1.0, 0.0, 0.0] * 4)
    constant = X.assign(**dict.fromkeys(X, 0.0))
    predict = learners.find(name).fit(FAST[name], constant, y, groups=groups, seed=0)
    np.testing.assert_allclose(predict(constant), 1 / 3, atol=0.02)
    np.testing.assert_allclose(predict.stages(constant)[-1], predict(constant), atol=1e-6)


def largest_fall(predict, X, column):
    """Return the largest fall of the probability along a rising grid of one column, in any of 40 rows."""
    grid = np.linspace(X[column].min() - 1, X[column].max() + 1, 60)
    rows = X.iloc[np.repeat(np.arange(40), len(grid))].assign(**{column: np.tile(grid, 40)})
    return -np.diff(predict(rows).reshape(40, len(grid)), axis=1).min()


@every_booster
def test_monotone_means_that_a_rising_logit_never_lowers_the_probability(name):
    X, y, groups = design(
        signal=-1.5
    )  # the network's logit is reversed: without the constraint a booster learns a falling function
    learner = learners.find(name)
    free = learner.fit(FAST[name], X, y, groups=groups, seed=0)
    monotone = learner.fit(FAST[name].model_copy(update={"monotone": True}), X, y, groups=groups, seed=0)
    for column in ("logit.good", "logit.noise"):
        assert largest_fall(free, X, column) > 0.01
        assert largest_fall(monotone, X, column) < 1e-7
    assert largest_fall(monotone, X, "metadata.age") > 0.001  # only logits are constrained


class RangeEnds:
    """A trial that suggests the lower or the upper end of every range."""

    def __init__(self, upper=False):
        self.upper = upper

    def suggest_float(self, name, low, high, *, log=False):
        """Return an end."""
        return high if self.upper else low

    suggest_int = suggest_float


@pytest.mark.parametrize("name", ["catboost", "lgbm", "logistic", "ridge", "xgb"])
def test_both_ends_of_every_search_range_can_be_fitted(name):
    X, y, groups = design(n=120)
    learner = learners.find(name)
    assert isinstance(learner, Tunable)
    for upper in (False, True):
        suggestion = learner.suggest(RangeEnds(upper))
        values = FAST.get(name, learner.Params()).model_dump() | suggestion | ({"rounds": 5} if name in FAST else {})
        predict = learner.fit(learner.Params.model_validate(values), columns_of(name, X), y, groups=groups, seed=0)
        assert np.isfinite(predict(columns_of(name, X))).all()


def test_the_defaults_are_in_the_search_ranges():
    for name in ("catboost", "lgbm", "logistic", "ridge", "xgb"):
        learner = learners.find(name)
        low, high = learner.suggest(RangeEnds()), learner.suggest(RangeEnds(upper=True))
        assert all(low[key] <= getattr(learner.Params(), key) <= high[key] for key in low)


def test_without_its_library_catboost_is_refused_with_the_command_that_installs_it(monkeypatch):
    X, y, groups = design(n=40)
    assert learners.is_installed("catboost")
    monkeypatch.setitem(sys.modules, "catboost", None)  # importing it then fails as if it were not installed
    assert not learners.is_installed("catboost")
    assert learners.is_installed("lgbm")
    assert "catboost" in learners.names()
    assert learners.find("catboost").Params(depth=2).depth == 2
    with pytest.raises(InputFault, match=r"melstack\[catboost\]"):
        catboost.fit(catboost.Params(), X, y, groups=groups, seed=0)


def test_ridge_fits_a_risk_that_is_not_monotone_in_a_logit():
    random = np.random.default_rng(2)
    X = pd.DataFrame({"logit.a": random.uniform(-3, 3, 4000)})
    risk = expit(-3 + X["logit.a"].to_numpy() ** 2)
    y = (random.random(4000) < risk).astype(float)
    predict = ridge.fit(ridge.Params(l2=1.0), X, y, groups=np.arange(4000).astype(object), seed=0)
    np.testing.assert_allclose(predict(X), risk, atol=0.08)


def test_ridge_uses_categories_and_missing_values():
    random = np.random.default_rng(3)
    site = random.choice(["arm", "leg"], 1000)
    age = np.where(random.random(1000) < 0.5, np.nan, random.uniform(20, 90, 1000))
    X = pd.DataFrame({"metadata.site": pd.Categorical(site), "metadata.age": age})
    for high_risk in (site == "leg", np.isnan(age)):
        y = (random.random(1000) < np.where(high_risk, 0.8, 0.2)).astype(float)
        probability = ridge.fit(ridge.Params(l2=1.0), X, y, groups=np.arange(1000).astype(object), seed=0)(X)
        assert probability[high_risk].mean() - probability[~high_risk].mean() > 0.5


@every_learner
def test_constant_and_empty_columns_give_finite_predictions(name):
    X, y, groups = design()
    with_empty = X.assign(**{"logit.constant": -3.0, "logit.empty": np.nan, "metadata.empty": np.nan})
    assert np.isfinite(fit_learner(name, with_empty, y, groups)(columns_of(name, with_empty))).all()
