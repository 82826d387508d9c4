"""The level-two recipe: which networks, blocks and learners make a stack, read from one TOML file."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import Field, create_model

from features import blocks
from features.faults import Faults, did_you_mean
from features.settings import Settings, read_settings
from level2_stack import learners

BLEND = "blend"


class Recipe(Settings):
    """What a stack is made of; a recipe read from a file also has one table of parameters per learner.

    ``networks`` are glob patterns of level-one names. ``acquisition`` lets in what tells how a picture was taken
    (size, camera, counts). ``contrasts`` adds how a logit stands within the patient. ``seeds`` is how often a learner
    that depends on a seed is fitted. ``blend`` lists the learners whose logits are averaged, all with the same weight.
    ``submit`` is the learner whose test probabilities are handed in, or "blend".
    """

    networks: list[str] = Field(["*"], min_length=1)
    blocks: list[str] = Field(["metadata", "patient", "pictures", "ugly_duckling"])
    acquisition: bool = False
    contrasts: bool = True
    learners: list[str] = Field(["lgbm", "xgb", "logistic", "mean", "rank_mean", "caruana"], min_length=1)
    seeds: int = Field(3, ge=1)
    blend: list[str] = Field(["lgbm", "xgb", "logistic"], min_length=1)
    submit: str = BLEND

    def parameters(self, learner: str) -> Settings:
        """Return the parameters of ``learner``: its table in the file, or its defaults."""
        given = getattr(self, learner, None)
        return given if isinstance(given, Settings) else learners.find(learner).Params()

    def chosen(self, networks: list[str]) -> list[str]:
        """Return those of ``networks`` that a pattern matches, sorted; raise InputFault for patterns without one."""
        faults = Faults()
        for pattern in self.networks:
            if not any(fnmatchcase(name, pattern) for name in networks):
                faults.add(f"networks = {pattern!r} matches none; {did_you_mean(pattern, sorted(networks))}")
        faults.raise_if_any("level-one networks")
        return sorted(name for name in networks if any(fnmatchcase(name, pattern) for pattern in self.networks))


def read_recipe(path: Path) -> Recipe:
    """Return the recipe in the TOML file at ``path``.

    Raises InputFault that names every unknown key, unknown learner or block, and every setting without effect.
    """
    recipe = read_settings(path, _model_with_tables())
    faults = Faults()
    for message in _contradictions(recipe):
        faults.add(message)
    faults.raise_if_any(path.name)
    return recipe


def _model_with_tables() -> type[Recipe]:
    """Return the recipe with one table per learner in the folder, its keys checked like all others."""
    tables = {name: (kind, kind()) for name in learners.names() if (kind := learners.find(name).Params)}
    model: type[Recipe] = create_model("RecipeWithTables", __base__=Recipe, **tables)  # type: ignore[call-overload]
    return model


def _contradictions(recipe: Recipe) -> Iterator[str]:
    yield from _unknown("learners", recipe.learners, learners.names())
    yield from _unknown("blocks", recipe.blocks, blocks.names())
    yield from _unknown("blend", recipe.blend, recipe.learners)
    yield from _unknown("submit", [recipe.submit], [*recipe.learners, BLEND])
    for key in ("learners", "blocks", "blend"):
        if len(set(getattr(recipe, key))) < len(getattr(recipe, key)):
            yield f"{key} = {getattr(recipe, key)} names something twice"
    for name in sorted(set(learners.names()) & recipe.model_fields_set - set(recipe.learners)):
        yield f"[{name}] has no effect: {name!r} is not in learners = {recipe.learners}"
    if recipe.seeds > 1 and "seeds" in recipe.model_fields_set and not _any_seeded(recipe.learners):
        yield f"seeds = {recipe.seeds} has no effect: no learner of {recipe.learners} depends on a seed"


def _unknown(key: str, found: list[str], known: list[str]) -> Iterator[str]:
    for name in found:
        if name not in known:
            yield f"{key}: no {name!r}; {did_you_mean(name, known)}"


def _any_seeded(found: list[str]) -> bool:
    known = [name for name in found if name in learners.names()]
    return len(known) < len(found) or any(learners.find(name).SEEDED for name in known)
