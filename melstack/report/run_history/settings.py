"""What an experiment was made with, as flat keys, and in which of them experiments differ."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from runtime.files import read_json
from runtime.run_folder import Run

YES = "yes"  # an element is in a list
ABSENT = "-"
MODELS, NETWORKS = "models", "networks"

Settings = dict[str, str]


def settings_of(run: Run, folder: Path, networks: Sequence[str]) -> Settings:
    """Return the settings of the stack in ``folder`` of ``run``: data, folds, recipe, networks and each one's own.

    Keys are joined by dots (``recipe.calibration.prevalence``); a list has one key per element, whose order does not
    count. The recipe is the one that was used, its defaults and the prevalence that was asked for included.
    """
    facts, decided, made = run.facts(), read_json(folder / "decisions.json"), read_json(folder / "run.json")
    asked = facts["made_from"]
    told: dict[str, Any] = {
        "data": {"folder": facts["data"], "external": sorted(asked.get("extra", {}))},
        "folds": {"number": asked["folds"], "official": asked["official"], "seed": asked["seed"]},
        "recipe": decided["recipe"],
        NETWORKS: list(networks),
        MODELS: {name: _model(run.level1 / name / "run.json") for name in networks},
        "code of level two": made["made_from"].get("code"),
    }
    return dict(_flat(told, ""))


def differing(settings: Sequence[Settings]) -> list[str]:
    """Return the keys, sorted, whose values are not the same in all of ``settings``.

    The settings of a network are compared among the experiments that have it; that others lack it is said once.
    """
    keys = sorted({key for one in settings for key in one})
    return [key for key in keys if len({one.get(key, ABSENT) for one in _those_with(key, settings)}) > 1]


def _those_with(key: str, settings: Sequence[Settings]) -> Sequence[Settings]:
    kind, _, rest = key.partition(".")
    if kind != MODELS:
        return settings
    return [one for one in settings if f"{NETWORKS}.{rest.split('.')[0]}" in one]


def _model(mark: Path) -> dict[str, Any]:
    """Return the settings of a network trained here, or the digests of a foreign one's files."""
    if not mark.is_file():
        return {}
    made: dict[str, Any] = read_json(mark)["made_from"]
    if "settings" in made:
        return dict(made["settings"])
    own = {name: value for name, value in made.get("files", {}).items() if name.split("/")[0] == mark.parent.name}
    return {"foreign": own}


def _flat(value: object, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list) and all(isinstance(element, str) for element in value):
        yield from ((f"{key}.{element}", YES) for element in value)
    elif value is not None:
        yield key, str(value)
