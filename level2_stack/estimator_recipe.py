"""The level-two recipe that the parameters of an estimator stand for."""

from collections.abc import Mapping, Sequence
from typing import Any

from level2_stack import learners
from level2_stack.recipe import Recipe, check_recipe
from runtime.errors import did_you_mean

ALL_COLUMNS = ["lgbm", "xgb", "ridge"]
WITH_SCORES = [*ALL_COLUMNS, "logistic", "mean", "rank_mean", "caruana"]
SHARED = ("blend_weights", "submit", "seeds", "inner_seeds", "negatives_per_positive")  # by name with the recipe


def recipe_of(parameters: Mapping[str, Any], *, with_scores: bool, where: str) -> Recipe:
    """Return the recipe of an estimator's ``parameters``, over a table ``with_scores`` of networks or without.

    ``where`` is what messages call the estimator. Raises ValueError that names what is unknown or has no effect.
    """
    chosen, blend = parameters["learners"], parameters["blend"]
    if chosen is None:
        chosen, blend = (WITH_SCORES if with_scores else ALL_COLUMNS), ALL_COLUMNS if blend is None else blend
    given = {
        "learners": chosen,
        "blend": _without_baselines(chosen) if blend is None else blend,
        "calibration": {"methods": parameters["calibration"], "prevalence": parameters["prevalence"]},
        # A recipe refuses seeds that have no effect; a default that nobody asked for is no such wish.
        **{key: parameters[key] for key in SHARED if parameters[key] != Recipe.model_fields[key].default},
    }
    recipe = check_recipe({**given, **_tables(parameters["params"] or {})}, where)
    blind = [name for name in recipe.learners if learners.find(name).USES == "logits" and not with_scores]
    if blind:
        raise ValueError(f"learners: {', '.join(blind)} weigh networks' scores, and scores names no column")
    return recipe


def without_tables(recipe: Recipe) -> Recipe:
    """Return ``recipe`` without the learners' parameters, whose class is made as it is read and cannot be pickled."""
    return Recipe(**{name: getattr(recipe, name) for name in Recipe.model_fields})


def _tables(params: Mapping[str, Any]) -> dict[str, Any]:
    known = learners.names()
    for name in params:
        if name not in known:
            raise ValueError(f"params: no learner {name!r}; {did_you_mean(str(name), known)}")
    return dict(params)


def _without_baselines(chosen: Sequence[str]) -> list[str]:
    known = [name for name in chosen if name in learners.names()]  # the recipe tells of the others
    return [name for name in known if not learners.find(name).BASELINE] or list(chosen)
