"""The ranges that a search is made in, from a TOML: each names a setting of a fine-tuned model; without TensorFlow."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import BaseModel, Field

from level1_cnn.augment.settings import AMOUNTS, Augmentation
from level1_cnn.experiment import CONFIGS, SEARCHES, Count, Experiment, Finetune
from runtime.errors import Faults, InputFault, did_you_mean
from runtime.settings import Settings, check_settings, read_toml

if TYPE_CHECKING:
    from runtime.trials import Trial, Value

Number = int | float


class Span(Settings):
    """Every number from ``low`` to ``high``, evenly spread or (``log``) evenly on the logarithm."""

    low: Number
    high: Number
    log: bool = False


class Choices(Settings):
    """One of these."""

    choices: Annotated[tuple[bool | int | float | str, ...], Field(min_length=2)]


class Budget(Settings):
    """How much is tried, and what it must not see."""

    trials: Count  # sets of settings, the model's own included
    seed: int = 0
    fold: int = Field(default=0, ge=0)  # the outer fold: no case of it takes part in the search
    ranges: dict[str, Any] = Field(min_length=1)


class Search(Settings):
    """What to search, and how long; the keys of ``ranges`` are dotted paths into ``Finetune``."""

    trials: Count
    seed: int
    fold: int
    ranges: dict[str, Span | Choices]

    def suggest(self, trial: "Trial", settings: Finetune) -> "dict[str, Value]":
        """Return one value for every range, drawn by ``trial``; ``settings`` tell whole numbers from others."""
        return {key: _drawn(trial, key, limits, _kind(settings, key)) for key, limits in self.ranges.items()}


def read_search(name: str) -> Search:
    """Return a search: a name in configs/search, or the path of a TOML file; ranges may be written dotted or nested.

    Raises InputFault for an unknown name, or a range that is neither low and high nor choices.
    """
    path = Path(name) if name.endswith(".toml") else CONFIGS / SEARCHES / f"{name}.toml"
    known = sorted(file.stem for file in (CONFIGS / SEARCHES).glob("*.toml"))
    if not name.endswith(".toml") and name not in known:
        raise InputFault(f"no search {name!r} in level1_cnn/configs/{SEARCHES}; {did_you_mean(name, known)}")
    budget = check_settings(read_toml(path), Budget, path.name)
    ranges: dict[str, Span | Choices] = {
        key: check_settings(values, Choices, f"{path.name}: ranges.{key}")
        if "choices" in values
        else check_settings(values, Span, f"{path.name}: ranges.{key}")
        for key, values in _leaves(budget.ranges, path.name).items()
    }
    return Search(trials=budget.trials, seed=budget.seed, fold=budget.fold, ranges=ranges)


def check_search(search: Search, settings: Finetune, where: str) -> None:
    """Raise InputFault with everything that the ranges ask for and the schema does not allow in this model."""
    faults = Faults()
    for key, limits in search.ranges.items():
        for problem in _problems(key, limits, settings):
            faults.add(f"ranges.{key}: {problem}")
    faults.raise_if_any(where)
    # Together as well: some settings are without effect, or too much, beside others.
    for ends in _corners(search):
        changed(settings, ends, where)


def changed(settings: Finetune, values: "Mapping[str, Value]", where: str = "trial") -> Finetune:
    """Return the settings with ``values`` (dotted key -> value) in place; raise InputFault where they are refused."""
    found = settings.model_dump()
    for key, value in values.items():
        *parents, name = key.split(".")
        inner = found
        for parent in parents:
            inner = inner[parent]
        inner[name] = value
    return check_settings(found, Finetune, where)


def value_of(settings: Finetune, key: str) -> "Value":
    """Return the value at a dotted key."""
    found: Any = settings
    for part in key.split("."):
        found = getattr(found, part)
    value: Value = found
    return value


def _leaves(values: Mapping[str, Any], where: str, prefix: str = "") -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, inner in values.items():
        key = f"{prefix}{name}"
        if not isinstance(inner, dict):
            hint = "{low = 1e-5, high = 1e-3, log = true} or {choices = [...]}"
            raise InputFault(f"{where}: ranges.{key} = {inner!r}; a range is {hint}")
        nested = inner and all(isinstance(value, dict) for value in inner.values())
        found |= _leaves(inner, where, f"{key}.") if nested else {key: inner}
    return found


def _problems(key: str, limits: Span | Choices, settings: Finetune) -> list[str]:
    unknown = _unknown(key, settings)
    if unknown:
        return [unknown]
    kind = _kind(settings, key)
    if isinstance(limits, Choices):
        return [problem for choice in limits.choices for problem in _refused(key, choice, settings)]
    if kind not in (int, float):
        return ["is no number; name its values: {choices = [...]}"]
    if not limits.low < limits.high:
        return [f"low = {limits.low} must be below high = {limits.high}"]
    if limits.log and limits.low <= 0:
        return [f"low = {limits.low} has no logarithm; give a positive one, or leave log out"]
    return [problem for end in (limits.low, limits.high) for problem in _refused(key, end, settings)]


def _unknown(key: str, settings: Finetune) -> str | None:
    """Return what is wrong with the name of a setting, if anything."""
    if key in Experiment.model_fields or key == "method":
        return "is not searched: it makes another model; give that a TOML of its own"
    model: Any = settings
    for part in key.split("."):
        if not isinstance(model, BaseModel):
            return f"this model has no such stage: {key.rsplit('.', 1)[0]} = {model!r}"
        if part not in type(model).model_fields:
            return f"unknown setting; {did_you_mean(part, sorted(type(model).model_fields))}"
        model = getattr(model, part)
    return "is a group of settings; name one of them" if isinstance(model, BaseModel) else None


def _refused(key: str, value: "Value", settings: Finetune) -> list[str]:
    # What has no effect, or too much, beside others is judged with all ranges in place.
    alone = {key.rsplit(".", 1)[0] + f".{other}": amount for other, amount in _companions(key).items()}
    try:
        changed(settings, {**alone, key: value}, "")
    except InputFault as fault:
        return [str(fault).removeprefix(": ")]
    return []


def _companions(key: str) -> "dict[str, Value]":
    """Return what gives the probability of an augmentation something to be the probability of."""
    section, _, name = key.rpartition(".")
    if section != "augmentation" or name not in AMOUNTS:
        return {}
    amount = AMOUNTS[name][0]
    return {amount: 1 if Augmentation.model_fields[amount].annotation is int else 0.01}


def _corners(search: Search) -> "list[dict[str, Value]]":
    def end(limits: Span | Choices, last: bool) -> "Value":
        return limits.choices[-1 if last else 0] if isinstance(limits, Choices) else (limits.low, limits.high)[last]

    return [{key: end(limits, last) for key, limits in search.ranges.items()} for last in (False, True)]


def _kind(settings: Finetune, key: str) -> Any:  # noqa: ANN401  a type, or a union of types
    *parents, name = key.split(".")
    model: Any = settings
    for parent in parents:
        model = getattr(model, parent)
    annotation = type(model).model_fields[name].annotation
    arguments = [kind for kind in get_args(annotation) if kind in (int, float)]
    return annotation if not arguments else None


def _drawn(trial: "Trial", key: str, limits: Span | Choices, kind: Any) -> "Value":  # noqa: ANN401
    if isinstance(limits, Choices):
        return trial.suggest_categorical(key, limits.choices)
    if kind is int:
        return trial.suggest_int(key, int(limits.low), int(limits.high), log=limits.log)
    return trial.suggest_float(key, float(limits.low), float(limits.high), log=limits.log)
