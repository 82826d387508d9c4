"""Tests for estimator_recipe.py: defaults, and the messages for invalid parameters."""

import pickle
from typing import Any

import pytest

from level2_stack.estimator import NestedStackingClassifier
from level2_stack.estimator_recipe import recipe_of, without_tables
from level2_stack.recipe import Recipe


def recipe(*, with_scores: bool = True, **parameters: Any) -> Recipe:
    all_parameters = NestedStackingClassifier(**parameters).get_params(deep=False)
    return recipe_of(all_parameters, with_scores=with_scores, where="stack")


def test_learners_that_weigh_networks_are_used_only_with_scores() -> None:
    assert recipe().learners == ["lgbm", "xgb", "ridge", "logistic", "mean", "rank_mean", "caruana"]
    assert recipe(with_scores=False).learners == ["lgbm", "xgb", "ridge"]
    assert recipe().blend == recipe(with_scores=False).blend == ["lgbm", "xgb", "ridge"]


def test_baselines_are_blended_only_where_there_is_no_other_learner() -> None:
    assert recipe(learners=["mean", "lgbm", "logistic"]).blend == ["lgbm", "logistic"]
    assert recipe(learners=["mean"]).blend == ["mean"]


def test_parameters_reach_the_recipe() -> None:
    two_seeds = recipe(seeds=2, prevalence=0.02, calibration=("beta",), params={"lgbm": {"rounds": 7}})
    assert (two_seeds.seeds, two_seeds.calibration.prevalence, two_seeds.calibration.methods) == (2, 0.02, ["beta"])
    assert two_seeds.parameters("lgbm").model_dump()["rounds"] == 7


def test_seeds_without_effect_are_refused_unless_they_are_the_default() -> None:
    assert recipe(learners=["logistic"]).seeds == 3
    with pytest.raises(ValueError, match="seeds = 2 has no effect"):
        recipe(learners=["logistic"], seeds=2)


def test_a_recipe_without_its_tables_can_be_pickled() -> None:
    plain = without_tables(recipe(submit="blend", params={"lgbm": {"rounds": 7}}))
    assert pickle.loads(pickle.dumps(plain)) == plain
    assert plain.submit == "blend"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"learners": ["lgmb"]}, "learners: unknown value 'lgmb'; did you mean 'lgbm'"),
        ({"params": {"lgmb": {}}}, "params: unknown learner 'lgmb'; did you mean 'lgbm'"),
        ({"params": {"submit": "lgbm"}}, "params: unknown learner 'submit'"),
        ({"params": {"lgbm": {"round": 3}}}, "unknown key 'lgbm.round'; did you mean 'rounds'"),
        ({"submit": "best"}, "submit: unknown value 'best'"),
        ({"seeds": 0}, "seeds = 0"),
        ({"prevalence": 1.5}, "prevalence = 1.5"),
        (
            {"learners": ["logistic"], "with_scores": False},
            "logistic weigh networks' scores, and scores is empty",
        ),
    ],
)
def test_an_invalid_parameter_raises_a_value_error_that_says_why(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipe(**parameters)
