"""Translate the parameters of the estimator into a level-two recipe."""

from collections.abc import Mapping, Sequence
from typing import Any

from level2_stack import learners
from level2_stack.recipe import Recipe, check_recipe
from runtime.errors import did_you_mean

FEATURE_LEARNERS = ["lgbm", "xgb", "ridge"]  # they use all columns, and work without any network's score
ALL_LEARNERS = [*FEATURE_LEARNERS, "logistic", "mean", "rank_mean", "caruana"]
SAME_NAME = ("blend_weights", "submit", "seeds", "inner_seeds", "negatives_per_positive")  # in estimator and recipe


def recipe_of(parameters: Mapping[str, Any], *, with_scores: bool, where: str) -> Recipe:
    """Return the recipe of an estimator's ``parameters``; ``with_scores`` says whether its table has networks' scores.

    ``where`` names the estimator in messages. Raises ValueError that names every unknown value and every parameter
    without effect.
    """
    names, blend = parameters["learners"], parameters["blend"]
    if names is None:
        names = ALL_LEARNERS if with_scores else FEATURE_LEARNERS
        blend = FEATURE_LEARNERS if blend is None else blend
    settings = {
        "learners": names,
        "blend": _without_baselines(names) if blend is None else blend,
        "calibration": {"methods": parameters["calibration"], "prevalence": parameters["prevalence"]},
        # A recipe refuses seeds without effect; the estimator's default seeds must not count as set by the user.
        **{key: parameters[key] for key in SAME_NAME if parameters[key] != Recipe.model_fields[key].default},
    }
    recipe = check_recipe({**settings, **_tables(parameters["params"] or {})}, where)
    need_scores = [name for name in recipe.learners if learners.find(name).USES == "logits" and not with_scores]
    if need_scores:
        raise ValueError(
            f"learners: {', '.join(need_scores)} weigh networks' scores, and scores is empty; "
            "name the columns with networks' scores, or leave these learners out"
        )
    return recipe


def without_tables(recipe: Recipe) -> Recipe:
    """Return ``recipe`` without the learners' parameters: their class is created at run time and cannot be pickled."""
    return Recipe(**{name: getattr(recipe, name) for name in Recipe.model_fields})


def _tables(params: Mapping[str, Any]) -> dict[str, Any]:
    known_names = learners.names()
    for name in params:
        if name not in known_names:
            raise ValueError(f"params: unknown learner {name!r}; {did_you_mean(str(name), known_names)}")
    return dict(params)


def _without_baselines(names: Sequence[str]) -> list[str]:
    available = [name for name in names if name in learners.names()]  # check_recipe reports unknown names
    return [name for name in available if not learners.find(name).BASELINE] or list(names)
