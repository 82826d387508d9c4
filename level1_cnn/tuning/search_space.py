"""The ranges of a search, read from a TOML file: one per setting of a fine-tuned model. Needs no TensorFlow."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import BaseModel, Field

from level1_cnn.augment.settings import AMOUNTS, Augmentation
from level1_cnn.experiment import CONFIGS, SEARCHES, Experiment
from level1_cnn.training_settings import Count, Finetune
from runtime.errors import Faults, InputFault, did_you_mean
from runtime.settings import Settings, check_settings, read_toml

if TYPE_CHECKING:
    from runtime.trials import Trial, Value

Number = int | float


class Span(Settings):
    """All numbers from ``low`` to ``high``, on a linear or (``log``) logarithmic scale."""

    low: Number
    high: Number
    log: bool = False


class Choices(Settings):
    """A list of values; a trial gets one value from the list."""

    choices: Annotated[tuple[bool | int | float | str, ...], Field(min_length=2)]


class SearchFile(Settings):
    """The content of the TOML file of a search."""

    trials: Count  # the model's own settings are the first trial
    seed: int = 0  # of the search
    fold: int = Field(default=0, ge=0)  # the outer fold, whose cases the search does not use
    ranges: dict[str, Any] = Field(min_length=1)  # setting of [training] -> its range or its choices


class Search(Settings):
    """Trials, seed, outer fold and ranges of a search; the keys of ``ranges`` are dotted keys of ``Finetune``."""

    trials: Count
    seed: int
    fold: int
    ranges: dict[str, Span | Choices]

    def suggest(self, trial: "Trial", settings: Finetune) -> "dict[str, Value]":
        """Return dotted key -> value proposed by ``trial`` for every range; whole numbers for settings of type int."""
        return {key: _propose(trial, key, limits, _kind(settings, key)) for key, limits in self.ranges.items()}


def read_search(name: str) -> Search:
    """Read a search: a name in configs/search, or the path of a TOML file, whose ranges may be dotted or nested.

    Raises InputFault for an unknown name, or for a range with neither low and high nor choices.
    """
    path = Path(name) if name.endswith(".toml") else CONFIGS / SEARCHES / f"{name}.toml"
    names = sorted(file.stem for file in (CONFIGS / SEARCHES).glob("*.toml"))
    if not name.endswith(".toml") and name not in names:
        raise InputFault(f"search {name!r} is not in level1_cnn/configs/{SEARCHES}; {did_you_mean(name, names)}")
    content = check_settings(read_toml(path), SearchFile, path.name)
    ranges: dict[str, Span | Choices] = {
        key: check_settings(values, Choices, f"{path.name}: ranges.{key}")
        if "choices" in values
        else check_settings(values, Span, f"{path.name}: ranges.{key}")
        for key, values in _leaves(content.ranges, path.name).items()
    }
    return Search(trials=content.trials, seed=content.seed, fold=content.fold, ranges=ranges)


def check_model(model: str, experiment: Experiment, search: Search, where: str) -> Finetune:
    """Return the settings of a model that can be tuned within the ranges of ``search``; raise InputFault if it cannot.

    ``where`` is the name or file of the search.
    """
    settings = experiment.training
    if not isinstance(settings, Finetune):
        raise InputFault(f"{model}: method = 'frozen' has no settings to tune; method = 'finetune' is needed")
    if settings.pseudo is not None:
        rule = "the networks that made its pseudo-labels were trained on the outer fold"
        raise InputFault(f"{model}: {rule}; remove [training.pseudo] to tune the model")
    keep = search.ranges.get("keep")
    if settings.keep == "best" or (isinstance(keep, Choices) and "best" in keep.choices):
        rule = "keep = 'best' chooses an epoch on the fold that evaluates a trial"
        raise InputFault(f"{model}: {rule}; use 'ema', 'mean' or 'last'")
    check_search(search, settings, f"{where} for {model}")
    return settings


def check_search(search: Search, settings: Finetune, where: str) -> None:
    """Raise one InputFault that lists all unknown settings and all limits that the model does not allow."""
    faults = Faults()
    for key, limits in search.ranges.items():
        for problem in _problems(key, limits, settings):
            faults.add(f"ranges.{key}: {problem}")
    faults.raise_if_any(where)
    # All ranges together, too: some values are invalid or without effect in combination with others.
    for values in _corners(search):
        replace_values(settings, values, where)


def replace_values(settings: Finetune, values: "Mapping[str, Value]", where: str = "trial") -> Finetune:
    """Return the settings with ``values`` (dotted key -> value) replaced; raise InputFault if the result is invalid."""
    content = settings.model_dump()
    for key, value in values.items():
        *parents, name = key.split(".")
        inner = content
        for parent in parents:
            inner = inner[parent]
        inner[name] = value
    return check_settings(content, Finetune, where)


def value_of(settings: Finetune, key: str) -> "Value":
    """Return the value at a dotted key."""
    part: Any = settings
    for name in key.split("."):
        part = getattr(part, name)
    value: Value = part
    return value


def _leaves(values: Mapping[str, Any], where: str, prefix: str = "") -> dict[str, dict[str, Any]]:
    leaves: dict[str, dict[str, Any]] = {}
    for name, inner in values.items():
        key = f"{prefix}{name}"
        if not isinstance(inner, dict):
            remedy = "write {low = 1e-5, high = 1e-3, log = true} or {choices = [...]}"
            raise InputFault(f"{where}: ranges.{key} = {inner!r} is not a range; {remedy}")
        is_nested = inner and all(isinstance(value, dict) for value in inner.values())
        leaves |= _leaves(inner, where, f"{key}.") if is_nested else {key: inner}
    return leaves


def _problems(key: str, limits: Span | Choices, settings: Finetune) -> list[str]:
    problem = _name_problem(key, settings)
    if problem:
        return [problem]
    kind = _kind(settings, key)
    if isinstance(limits, Choices):
        return [problem for choice in limits.choices for problem in _value_problems(key, choice, settings)]
    if kind not in (int, float):
        return ["the values are not numbers; list them: {choices = [...]}"]
    if not limits.low < limits.high:
        return [f"low = {limits.low} must be below high = {limits.high}"]
    if limits.log and limits.low <= 0:
        return [f"low = {limits.low} has no logarithm; write a positive number, or leave log out"]
    return [problem for end in (limits.low, limits.high) for problem in _value_problems(key, end, settings)]


def _name_problem(key: str, settings: Finetune) -> str | None:
    """Return a message if ``key`` is not a setting that can be searched, else None."""
    if key in Experiment.model_fields or key == "method":
        return (
            "cannot be searched, because another value makes another model; write a separate TOML file for that model"
        )
    model: Any = settings
    for part in key.split("."):
        if not isinstance(model, BaseModel):
            return f"this model has no such group of settings: {key.rsplit('.', 1)[0]} = {model!r}"
        if part not in type(model).model_fields:
            return f"unknown setting; {did_you_mean(part, sorted(type(model).model_fields))}"
        model = getattr(model, part)
    return "is a group of settings; name one of them" if isinstance(model, BaseModel) else None


def _value_problems(key: str, value: "Value", settings: Finetune) -> list[str]:
    # Effects of other settings are checked with all ranges together.
    companions = {key.rsplit(".", 1)[0] + f".{other}": amount for other, amount in _companions(key).items()}
    try:
        replace_values(settings, {**companions, key: value}, "")
    except InputFault as fault:
        return [str(fault).removeprefix(": ")]
    return []


def _companions(key: str) -> "dict[str, Value]":
    """Return the amount, with an example value, that a probability of an augmentation needs; otherwise nothing."""
    section, _, name = key.rpartition(".")
    if section != "augmentation" or name not in AMOUNTS:
        return {}
    amount = AMOUNTS[name][0]
    return {amount: 1 if Augmentation.model_fields[amount].annotation is int else 0.01}


def _corners(search: Search) -> "list[dict[str, Value]]":
    """Return the lowest values of all ranges, and the highest values of all ranges."""

    def end(limits: Span | Choices, last: bool) -> "Value":
        """Return the last or the first value of a range."""
        return limits.choices[-1 if last else 0] if isinstance(limits, Choices) else (limits.low, limits.high)[last]

    return [{key: end(limits, last) for key, limits in search.ranges.items()} for last in (False, True)]


def _kind(settings: Finetune, key: str) -> Any:  # noqa: ANN401  a type, or a union of types
    """Return the type of a setting; None if numbers are only some of its possible values."""
    *parents, name = key.split(".")
    model: Any = settings
    for parent in parents:
        model = getattr(model, parent)
    annotation = type(model).model_fields[name].annotation
    arguments = [kind for kind in get_args(annotation) if kind in (int, float)]
    return annotation if not arguments else None


def _propose(trial: "Trial", key: str, limits: Span | Choices, kind: Any) -> "Value":  # noqa: ANN401
    if isinstance(limits, Choices):
        return trial.suggest_categorical(key, limits.choices)
    if kind is int:
        return trial.suggest_int(key, int(limits.low), int(limits.high), log=limits.log)
    return trial.suggest_float(key, float(limits.low), float(limits.high), log=limits.log)
