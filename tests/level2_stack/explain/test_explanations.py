"""Tests for explanations.py, fits.py and scales.py: parts add up, and informative columns have large parts."""

import json
from dataclasses import replace
from functools import cache, partial

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from level2_stack import learners
from level2_stack.crossval.decide import decide
from level2_stack.crossval.nested import cross_validate
from level2_stack.design.assemble import Design
from level2_stack.explain.explanations import (
    BASE,
    Explanations,
    StackDecisions,
    explain,
    family,
    read_decisions,
    summary,
)
from level2_stack.explain.fits import split_by_hiding
from level2_stack.explain.scales import Split, apply_function, match_total, mean_probability, weighted_sum
from level2_stack.learner_contract import STAGES
from level2_stack.recipe import Recipe
from runtime.errors import InputFault
from tests.level2_stack.small_designs import SMALL
from tests.level2_stack.small_designs import recipe as small_recipe

recipe = partial(small_recipe, submit="blend")
ACQUISITION = {"patient": ("n_pictures",), "pictures": ("width",)}


def make_design(rows: int = 240, tests: int = 30) -> Design:
    """Return a design with missing values and categories; the logits and the age are informative, the noise is not."""
    random = np.random.default_rng(0)
    n = rows + tests
    y = (random.random(n) < 0.3).astype(float)
    X = pd.DataFrame(
        {
            "logit.a": random.normal(size=n) + 2 * y,
            "logit.b": random.normal(size=n) + y,
            "metadata.age": random.normal(size=n) + y,
            "metadata.site": pd.Categorical(random.choice(["arm", "leg", "torso"], n)),
            "pictures.noise": random.normal(size=n),
        },
        index=pd.Index([f"case_{i}" for i in range(n)], name="image_name"),
    )
    X.loc[X.index[::9], "metadata.age"] = np.nan
    X.loc[X.index[4:rows:20], "logit.b"] = np.nan
    X.loc[X.index[::11], "metadata.site"] = np.nan
    patients = np.array([f"p{i // 3}" for i in range(rows)], dtype=object)
    return Design(X, y[:rows], (np.arange(rows) // 3 % 4).astype(np.int8), patients)


def fit_stack(design: Design, stack: Recipe) -> tuple[StackDecisions, pd.Series]:
    """Return the decisions of a stack, written as JSON and read back, and the probabilities it submits."""
    cross_validation = cross_validate(design, stack, processes=1)
    result = decide(design, stack, cross_validation)
    values = {
        "submitted": result.submitted_model,
        "columns": list(design.X.columns),
        "rounds": cross_validation.stage,
        "blend_weights": result.blend_weights,
        "calibrators": {
            name: [{"name": each.name, "log_loss": each.log_loss, **each.calibrator.parameters()} for each in by_fold]
            for name, by_fold in result.calibrators.items()
        },
        "tuned": {},
        "recipe": stack.model_dump(mode="json"),
    }
    return read_decisions(json.loads(json.dumps(values))), result.probability[result.submitted_model]


@cache
def explain_kind(kind: str) -> tuple[Explanations, pd.Series, Design]:
    return explain_stack(KINDS[kind])


def explain_stack(stack: Recipe, design: Design | None = None) -> tuple[Explanations, pd.Series, Design]:
    design = design or make_design()
    decisions, probability = fit_stack(design, stack)
    return explain(design, stack, decisions, probability), probability, design


KINDS = {
    "boosters and a ridge": recipe("lgbm", "xgb", "ridge", seeds=2),
    "fitted weights": recipe("lgbm", "ridge", blend_weights="fitted"),
    "one booster, all rounds": recipe("xgb", submit="xgb", choose_rounds=False),
    "one linear learner": recipe("logistic", submit="logistic"),
    "the rank mean": recipe("rank_mean", "lgbm", submit="rank_mean"),
    "the mean": recipe("mean", submit="mean"),
    "caruana": recipe("caruana", submit="caruana"),
    "thinned, another prevalence": recipe(
        "lgbm", "ridge", negatives_per_positive=1, calibration={"prevalence": 0.0176, "methods": ["platt"]}
    ),
    "isotonic": recipe("lgbm", "xgb", calibration={"methods": ["isotonic"]}),
    "beta": recipe("ridge", calibration={"methods": ["beta"]}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_parts_and_base_add_up_to_the_submitted_log_odds(kind):
    explanations, probability, design = explain_kind(kind)
    assert list(explanations.table.columns) == [*design.X.columns, BASE]
    assert explanations.table.index.equals(design.X.index)
    sums = explanations.table.sum(axis=1)
    assert np.abs(sums - logit(probability)).max() < 1e-9
    assert explanations.rounding < 5e-6  # no more than the rounding of float32


def test_the_base_is_one_number_per_fold_and_one_number_for_all_test_cases():
    explanations, _, design = explain_kind("boosters and a ridge")
    train = explanations.table[BASE].iloc[: len(design.y)]
    assert (train.groupby(design.folds).nunique() == 1).all()
    assert train.nunique() == 4
    assert explanations.table[BASE].iloc[len(design.y) :].nunique() == 1


def test_an_informative_column_has_the_largest_parts_and_noise_small_ones():
    explanations, _, design = explain_kind("boosters and a ridge")
    sizes = explanations.table.drop(columns=BASE).abs().mean()
    assert sizes.idxmax() == "logit.a"
    assert sizes["pictures.noise"] < sizes["logit.a"] / 5
    assert explanations.table["logit.a"].corr(design.X["logit.a"], method="spearman") > 0.9


def test_a_training_case_is_explained_by_fits_that_never_saw_its_target():
    stack, design = recipe("lgbm", calibration={"methods": ["platt"]}), make_design()
    other = replace(design, y=np.where(design.folds == 2, 1 - design.y, design.y))
    first, second = explain_stack(stack, design)[0].table, explain_stack(stack, other)[0].table
    own = design.X.index[: len(design.y)][design.folds == 2]
    pd.testing.assert_frame_equal(first.loc[own], second.loc[own])
    assert not np.allclose(first, second)


def test_rows_with_other_probabilities_than_the_stack_are_named():
    stack, design = recipe("lgbm"), make_design()
    decisions, probability = fit_stack(design, stack)
    probability["case_3"] += 0.01
    with pytest.raises(InputFault, match=r"other probabilities than predictions.parquet for 1 \(case_3\)"):
        explain(design, stack, decisions, probability)


def test_explanations_need_no_test_cases():
    explanations, _, design = explain_stack(recipe("ridge"), make_design(tests=0))
    assert len(explanations.table) == len(design.y)
    assert explanations.error < 1e-9


@pytest.mark.parametrize("name", ["lgbm", "xgb"])
@pytest.mark.parametrize("stage", [0, 4, 8])
def test_shap_values_of_a_booster_add_up_to_its_logit_after_any_share_of_its_rounds(name, stage):
    design, learner = make_design(), learners.find(name)
    predict = learner.fit(learner.Params(**SMALL[name]), design.train, design.y, groups=design.groups, seed=0)
    share = STAGES[stage]
    parts = predict.contributions(design.X, share)
    assert parts.shape == (len(design.X), design.X.shape[1] + 1)
    np.testing.assert_allclose(parts.sum(axis=1), logit(predict.stages(design.X)[stage]), atol=5e-6)


def test_shap_values_of_a_tree_follow_their_definition():
    """Two columns, all four kinds of rows equally often: the mean gain over both orders of revealing the columns."""
    X = pd.DataFrame(np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], 100, axis=0).astype(float), columns=["a", "b"])
    y = np.concatenate([np.arange(100) < share for share in (10, 20, 30, 80)]).astype(float)
    learner, groups = learners.find("lgbm"), np.arange(400).astype(object)
    whole = {
        "num_leaves": 4,
        "min_child_samples": 1,
        "min_sum_hessian": 0,
        "feature_fraction": 1,
        "bagging_fraction": 1,
        "lambda_l2": 0,
    }
    predict = learner.fit(learner.Params(rounds=1, learning_rate=1, **whole), X, y, groups=groups, seed=0)
    cells = X.iloc[::100]
    score = logit(predict(cells)).reshape(2, 2)
    assert len(np.unique(score)) == 4
    given_a, given_b, base = score.mean(axis=1, keepdims=True), score.mean(axis=0, keepdims=True), score.mean()
    part_a = (given_a - base + score - given_b) / 2
    expected = np.column_stack([part_a.ravel(), (score - base - part_a).ravel(), np.full(4, base)])
    np.testing.assert_allclose(predict.contributions(cells, 1.0), expected, atol=1e-9)


def test_hiding_columns_of_an_additive_score_gives_its_terms():
    X = pd.DataFrame({"a": [1.0, 2.0, np.nan], "b": [10.0, 0.0, 5.0], "c": [0.5, 0.5, 0.5]})
    parts = split_by_hiding(lambda rows: rows.fillna(0.0).sum(axis=1).to_numpy() + 7, X)
    np.testing.assert_allclose(parts, [[1, 10, 0.5, 7], [2, 0, 0.5, 7], [0, 5, 0.5, 7]])


def test_hiding_two_columns_gives_the_mean_over_both_orders():
    X = pd.DataFrame({"a": [1.0], "b": [1.0]})

    def product(rows: pd.DataFrame) -> np.ndarray:
        numbers = rows.fillna(0.0)
        return (3 * numbers["a"] * numbers["b"] + numbers["a"]).to_numpy()

    np.testing.assert_allclose(split_by_hiding(product, X), [[1 + 1.5, 1.5, 0]])


@pytest.mark.parametrize("columns", [1, 3, 5, 30])
def test_parts_by_hiding_columns_add_up_for_any_score_and_number_of_columns(columns):
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(6, columns)), columns=[f"c{i}" for i in range(columns)])

    def score(rows: pd.DataFrame) -> np.ndarray:
        return np.tanh(rows.fillna(0.0).cumsum(axis=1)).prod(axis=1).to_numpy() + rows.mean(axis=1).fillna(2).to_numpy()

    np.testing.assert_allclose(split_by_hiding(score, X).sum(axis=1), score(X), atol=1e-12)


SPLIT = Split(np.array([[1.0, -3.0], [0.0, 0.0], [2.0, 1.0]]), np.array([-2.0, -2.0, -2.0]))


def test_a_linear_function_multiplies_all_parts_by_its_slope():
    split = apply_function(SPLIT, lambda score: 0.5 * score + 3)
    np.testing.assert_allclose(split.parts, 0.5 * SPLIT.parts)
    np.testing.assert_allclose(split.base, 2.0)


@pytest.mark.parametrize("function", [expit, np.tanh, lambda score: np.interp(score, [-4, -1, 0, 9], [0, 0.1, 0.8, 1])])
def test_an_increasing_function_keeps_signs_and_proportions_of_parts_that_add_up(function):
    split = apply_function(SPLIT, function)
    np.testing.assert_allclose(split.total, function(SPLIT.total), atol=1e-12)
    np.testing.assert_allclose(split.parts[0, 1] / split.parts[0, 0], -3, rtol=1e-6)
    assert (np.sign(split.parts) == np.sign(SPLIT.parts)).all()


def test_the_mean_of_equal_probabilities_has_the_split_of_each():
    split = mean_probability([SPLIT, SPLIT, SPLIT])
    np.testing.assert_allclose(split.parts, SPLIT.parts, atol=1e-9)
    np.testing.assert_allclose(split.base, SPLIT.base, atol=1e-12)


def test_the_split_of_a_mean_of_probabilities_adds_up_where_folds_differ():
    random = np.random.default_rng(3)
    splits = [Split(random.normal(size=(50, 4)) * 3, np.full(50, base)) for base in (-5.0, -4.0, -3.0)]
    split = mean_probability(splits)
    expected = logit(np.mean([expit(each.total) for each in splits], axis=0))
    np.testing.assert_allclose(split.total, expected, atol=1e-9)


def test_the_split_of_a_weighted_sum_is_the_weighted_sum_of_the_splits():
    split = weighted_sum([SPLIT, SPLIT], [0.25, 0.5])
    np.testing.assert_allclose(split.parts, 0.75 * SPLIT.parts)
    np.testing.assert_allclose(split.total, 0.75 * SPLIT.total)


def test_rounding_is_added_to_parts_by_size_and_to_the_base_only_without_parts():
    split = match_total(SPLIT, SPLIT.total + 0.4)
    np.testing.assert_allclose(split.parts, [[1.1, -2.7], [0, 0], [2 + 0.8 / 3, 1 + 0.4 / 3]])
    np.testing.assert_allclose(split.base, [-2, -1.6, -2])


FAMILIES = {
    "logit.b0": "networks",
    "spread.b0": "networks",
    "zscore.b0": "contrasts",
    "disagreement.networks": "contrasts",
    "metadata.age_approx": "metadata",
    "patient.age_span": "patient-relative",
    "patient.n_pictures": "acquisition",
    "ugly_duckling.b0_distance_rank": "patient-relative",
    "pictures.width": "acquisition",
    "pictures.contrast_z": "patient-relative",
    "pictures.contrast": "picture statistics",
    "table.mine": "table",
}


def test_every_column_has_a_family():
    assert {name: family(name, ACQUISITION) for name in FAMILIES} == FAMILIES


def test_the_summary_lists_columns_by_mean_size_and_families_by_share():
    parts = pd.DataFrame({"logit.a": [1.0, -3.0], "metadata.age": [0.5, 0.5], "zscore.a": [1.0, -2.0]})
    contents = summary(parts, {})
    assert contents["columns"] == [
        {"name": "logit.a", "family": "networks", "mean_abs": 2.0},
        {"name": "zscore.a", "family": "contrasts", "mean_abs": 1.5},
        {"name": "metadata.age", "family": "metadata", "mean_abs": 0.5},
    ]
    assert [each["name"] for each in contents["families"]] == ["networks", "contrasts", "metadata"]
    assert [each["share"] for each in contents["families"]] == pytest.approx([0.5, 0.375, 0.125])


@pytest.mark.parametrize(("name", "prefix"), [("ridge", ""), ("logistic", "logit.")])
def test_the_terms_of_a_linear_learner_add_up_and_do_not_depend_on_other_columns(name, prefix):
    design, learner = make_design(), learners.find(name)
    X = design.train.dropna().pipe(lambda table: table.loc[:, [column.startswith(prefix) for column in table]])
    y = pd.Series(design.y, index=design.train.index)[X.index].to_numpy()
    predict = learner.fit(learner.Params(), X, y, groups=np.arange(len(X)).astype(object), seed=0)
    parts, with_other_logit = predict.contributions(X, 1.0), predict.contributions(X.assign(**{"logit.a": 3.0}), 1.0)
    np.testing.assert_allclose(parts.sum(axis=1), logit(predict(X)), atol=1e-10)
    np.testing.assert_allclose(parts[:, :-1].mean(axis=0), 0, atol=1e-10)
    np.testing.assert_array_equal(with_other_logit[:, 1:], parts[:, 1:])
