"""The level-two recipe, read from one TOML file: the networks, blocks and learners of a stack."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, create_model, field_validator

from features import blocks
from level2_stack import contrasts, learners
from level2_stack.thresholds.settings import ThresholdRules
from runtime.errors import Faults, did_you_mean
from runtime.settings import Settings, check_settings, read_toml

BLEND = "blend"
CHOICE = "choice"  # the leaderboard's row of the models that the inner folds choose for each outer fold
AUTO = "auto"
CALIBRATORS = ["none", "temperature", "platt", "beta", "isotonic"]  # of calibrate.py, which is slow to import


class Calibration(Settings):
    """How scores become probabilities; the inner folds choose the method by log loss."""

    # the candidates, by their names in calibrate.py
    methods: list[str] = Field(["platt", "beta", "isotonic"], min_length=1)
    rank_preserving: bool = True  # calibration keeps the order of the cases
    # share of malignant pictures where the probabilities are used, if not that of the training rows
    prevalence: float | None = Field(None, gt=0, lt=1)


class Budget(Settings):
    """How long tuning searches."""

    trials: int = Field(default=0, ge=0)  # parameter sets to try, the defaults included; 0: no tuning
    # no trial starts after this time, interrupted runs included; the result then depends on the machine
    seconds: float | None = Field(default=None, gt=0)

    @field_validator("seconds")
    @classmethod
    def _needs_trials(cls, seconds: float | None, info: ValidationInfo) -> float | None:
        if seconds is not None and info.data.get("trials") == 0:
            raise ValueError("has no effect without trials")
        return seconds


class Recipe(Settings):
    """The settings of a stack; a recipe read from a file also has one table of parameters per learner."""

    networks: list[str] = Field(["*"], min_length=1)  # glob patterns of level-one names
    # feature blocks, files of features/blocks
    blocks: list[str] = Field(["metadata", "measured", "patient", "pictures", "ugly_duckling"])
    # columns that say how a picture was taken (size, camera, counts); auto: dropped if they shift
    acquisition: Literal["auto", "keep", "drop"] = "auto"
    # AUC above which columns that separate test from train rows count as shifted
    shift_threshold: float = Field(0.6, ge=0.5, le=1)
    contrasts: list[str] = Field(list(contrasts.DEFAULT))  # families of contrasts within the patient
    # files of level2_stack/learners
    learners: list[str] = Field(["lgbm", "xgb", "ridge", "logistic", "mean", "rank_mean", "caruana"], min_length=1)
    seeds: int = Field(3, ge=1)  # fits per outer fold of a learner that depends on a seed
    inner_seeds: int = Field(1, ge=1)  # the same per pair of folds
    # sampled by a fit of such a learner, whose probabilities are corrected; none: all
    negatives_per_positive: float | None = Field(None, gt=0)
    choose_rounds: bool = True  # inner folds choose how many rounds of a booster are used
    blend: list[str] = Field(["lgbm", "xgb", "ridge"], min_length=1)  # learners whose logits are averaged
    blend_weights: Literal["equal", "fitted"] = "equal"  # fitted: on inner folds
    submit: str = AUTO  # a learner, blend, or auto: the one with the highest expected AUC
    ablation: bool = True  # measure how much every block contributes
    calibration: Calibration = Calibration.model_validate({})  # in [calibration]
    thresholds: ThresholdRules = ThresholdRules.model_validate({})  # operating points to freeze, in [thresholds]
    tuning: Budget = Budget.model_validate({})  # in [tuning]
    # other partitions of the patients over which level two is cross-validated again
    repeats: int = Field(0, ge=0, le=100)

    def facts(self) -> dict[str, Any]:
        """Return the settings as JSON values for decisions.json; repeats only if there are any, as in older stacks."""
        return self.model_dump(mode="json", exclude=None if self.repeats else {"repeats"})

    def parameters(self, learner: str) -> Settings:
        """Return the parameters of ``learner``: its table in the file, or its defaults."""
        table = getattr(self, learner, None)
        return table if isinstance(table, Settings) else learners.find(learner).Params()

    def select_networks(self, networks: list[str]) -> list[str]:
        """Return the sorted names in ``networks`` that a pattern matches; raise InputFault if one matches nothing."""
        faults = Faults()
        for pattern in self.networks:
            if not any(fnmatchcase(name, pattern) for name in networks):
                faults.add(f"networks = {pattern!r} matches no network; {did_you_mean(pattern, sorted(networks))}")
        faults.raise_if_any("recipe: level-one networks")
        return sorted(name for name in networks if any(fnmatchcase(name, pattern) for pattern in self.networks))


def read_recipe(path: Path) -> Recipe:
    """Read the recipe in the TOML file at ``path``.

    Raises InputFault that names every unknown key, learner and block, and every setting without effect.
    """
    return check_recipe(read_toml(path), path.name)


def check_recipe(values: dict[str, Any], where: str) -> Recipe:
    """Return ``values`` as a recipe; raise InputFault as read_recipe does, with ``where`` as the name of the file."""
    recipe = check_settings(values, _model_with_tables(), where)
    faults = Faults()
    for message in _contradictions(recipe):
        faults.add(message)
    faults.raise_if_any(where)
    return recipe


def recipe_of_stack(decisions: Mapping[str, Any]) -> Recipe:
    """Return the recipe that a finished stack was made with, from the content of its decisions.json.

    It lists the networks of the stack by name, and has the prevalence that the command line gave.
    """
    return check_settings(decisions["recipe"], _model_with_tables(), "decisions.json: recipe")


def _model_with_tables() -> type[Recipe]:
    """Return the recipe's model extended by one table per learner, so that its keys are checked like all others."""
    tables = {name: (kind, kind()) for name in learners.names() if (kind := learners.find(name).Params)}
    model: type[Recipe] = create_model("RecipeWithTables", __base__=Recipe, **tables)  # type: ignore[call-overload]
    return model


def _contradictions(recipe: Recipe) -> Iterator[str]:
    yield from _unknown("learners", recipe.learners, learners.names())
    yield from _unknown("blocks", recipe.blocks, blocks.names())
    yield from _unknown("contrasts", recipe.contrasts, list(contrasts.FAMILIES))
    yield from _unknown("calibration.methods", recipe.calibration.methods, CALIBRATORS)
    yield from _unknown("blend", recipe.blend, recipe.learners)
    yield from _unknown("submit", [recipe.submit], [*recipe.learners, BLEND, AUTO])
    for key in ("learners", "blocks", "blend", "contrasts"):
        if len(set(getattr(recipe, key))) < len(getattr(recipe, key)):
            yield f"{key} = {getattr(recipe, key)} lists a name twice; list it once"
    for name in sorted(set(learners.names()) & recipe.model_fields_set - set(recipe.learners)):
        yield f"[{name}] has no effect: {name!r} is not in learners = {recipe.learners}"
    for name in sorted(set(recipe.learners) & set(learners.names())):
        if not learners.is_installed(name):
            yield f"learners: the library of {name!r} is not installed; run `pip install 'melstack[{name}]'`"
    yield from recipe.thresholds.contradictions()
    if recipe.repeats and recipe.tuning.trials:
        yield (
            f"repeats = {recipe.repeats} with tuning.trials = {recipe.tuning.trials}: the parameters of a fold are "
            "tuned on the other folds, so every partition would need a tuning of its own; set one of them to 0"
        )
    if recipe.inner_seeds > recipe.seeds:
        yield f"inner_seeds = {recipe.inner_seeds} must not exceed seeds = {recipe.seeds}; more has no effect"
    if recipe.blend_weights == "fitted" and len(recipe.blend) == 1:
        yield f"blend_weights = 'fitted' has no effect: blend = {recipe.blend} is one learner"
    if recipe.seeds > 1 and "seeds" in recipe.model_fields_set and not _depends_on_seed(recipe.learners):
        yield f"seeds = {recipe.seeds} has no effect: no learner of {recipe.learners} depends on a seed"


def _unknown(key: str, values: list[str], allowed_values: list[str]) -> Iterator[str]:
    for name in values:
        if name not in allowed_values:
            yield f"{key}: unknown value {name!r}; {did_you_mean(name, allowed_values)}"


def _depends_on_seed(names: list[str]) -> bool:
    """Return whether a learner depends on a seed; True if a name is unknown, which another message reports."""
    available = [name for name in names if name in learners.names()]
    return len(available) < len(names) or any(learners.find(name).USES_SEED for name in available)
