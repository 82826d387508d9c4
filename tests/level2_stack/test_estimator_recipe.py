"""Tests of the recipe that an estimator's parameters stand for: defaults, and refusals that say why."""

import pickle
from typing import Any

import pytest

from level2_stack.estimator import NestedStackingClassifier
from level2_stack.estimator_recipe import recipe_of, without_tables
from level2_stack.recipe import Recipe


def recipe(*, with_scores: bool = True, **parameters: Any) -> Recipe:
    given = NestedStackingClassifier(**parameters).get_params(deep=False)
    return recipe_of(given, with_scores=with_scores, where="stack")


def test_learners_that_weigh_networks_come_with_scores_alone() -> None:
    assert recipe().learners == ["lgbm", "xgb", "ridge", "logistic", "mean", "rank_mean", "caruana"]
    assert recipe(with_scores=False).learners == ["lgbm", "xgb", "ridge"]
    assert recipe().blend == recipe(with_scores=False).blend == ["lgbm", "xgb", "ridge"]


def test_the_blend_is_of_learners_that_are_no_baseline_where_there_are_any() -> None:
    assert recipe(learners=["mean", "lgbm", "logistic"]).blend == ["lgbm", "logistic"]
    assert recipe(learners=["mean"]).blend == ["mean"]


def test_parameters_reach_the_recipe() -> None:
    found = recipe(seeds=2, prevalence=0.02, calibration=("beta",), params={"lgbm": {"rounds": 7}})
    assert (found.seeds, found.calibration.prevalence, found.calibration.methods) == (2, 0.02, ["beta"])
    assert found.parameters("lgbm").model_dump()["rounds"] == 7


def test_default_seeds_are_no_wish_but_chosen_ones_without_effect_are_refused() -> None:
    assert recipe(learners=["logistic"]).seeds == 3
    with pytest.raises(ValueError, match="seeds = 2 has no effect"):
        recipe(learners=["logistic"], seeds=2)


def test_without_its_tables_a_recipe_survives_a_pickle() -> None:
    kept = without_tables(recipe(submit="blend", params={"lgbm": {"rounds": 7}}))
    assert pickle.loads(pickle.dumps(kept)) == kept
    assert kept.submit == "blend"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"learners": ["lgmb"]}, "no 'lgmb'; did you mean 'lgbm'"),
        ({"params": {"lgmb": {}}}, "params: no learner 'lgmb'; did you mean 'lgbm'"),
        ({"params": {"submit": "lgbm"}}, "params: no learner 'submit'"),
        ({"params": {"lgbm": {"round": 3}}}, "unknown key 'lgbm.round'; did you mean 'rounds'"),
        ({"submit": "best"}, "submit: no 'best'"),
        ({"seeds": 0}, "seeds = 0"),
        ({"prevalence": 1.5}, "prevalence = 1.5"),
        (
            {"learners": ["logistic"], "with_scores": False},
            "logistic weigh networks' scores, and scores names no column",
        ),
    ],
)
def test_a_parameter_that_cannot_be_is_a_value_error_that_says_why(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipe(**parameters)
