"""The settings of an experiment as flat keys, and the keys in which experiments differ."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from runtime.files import read_json
from runtime.run_folder import Run

YES = "yes"  # value of the key of a list element
ABSENT = "-"
MODELS, NETWORKS = "models", "networks"

Settings = dict[str, str]


def settings_of(run: Run, folder: Path, networks: Sequence[str]) -> Settings:
    """Return the settings of the stack in ``folder`` of ``run``: data, folds, recipe, and those of each network.

    Keys are joined by dots (``recipe.calibration.prevalence``); a list has one key per element and ignores their order.
    The recipe is read from decisions.json, with all defaults and the prevalence of the command line.
    """
    facts, decisions, stack = run.facts(), read_json(folder / "decisions.json"), read_json(folder / "run.json")
    cases = facts["made_from"]
    settings: dict[str, Any] = {
        "data": {"folder": facts["data"], "external": sorted(cases.get("extra", {}))},
        "folds": {"number": cases["folds"], "official": cases["official"], "seed": cases["seed"]}
        | {name: cases[name] for name in ("by", "by_time") if name in cases},
        "recipe": decisions["recipe"],
        NETWORKS: list(networks),
        MODELS: {name: _model(run.level1 / name / "run.json") for name in networks},
        "code of level two": stack["made_from"].get("code"),
    }
    return dict(_flat(settings, ""))


def differing_keys(settings: Sequence[Settings]) -> list[str]:
    """Return the keys, sorted, whose values differ between any two of ``settings``.

    The settings of a network are compared only among the experiments that have the network; for the others, only the
    key ``networks.<name>`` differs.
    """
    keys = sorted({key for each in settings for key in each})
    return [key for key in keys if len({each.get(key, ABSENT) for each in _with_network(key, settings)}) > 1]


def _with_network(key: str, settings: Sequence[Settings]) -> Sequence[Settings]:
    kind, _, rest = key.partition(".")
    if kind != MODELS:
        return settings
    return [each for each in settings if f"{NETWORKS}.{rest.split('.')[0]}" in each]


def _model(mark: Path) -> dict[str, Any]:
    """Return the settings of a network of this run, or the digests of the files of a foreign network."""
    if not mark.is_file():
        return {}
    content = read_json(mark)
    made_from: dict[str, Any] = content["made_from"]
    if "settings" in made_from:
        return dict(made_from["settings"])
    digests = made_from.get("files", {})
    own = content.get("files") or [name for name in digests if name.split("/")[0] == mark.parent.name]
    return {"foreign": {name: digests[name] for name in own}}


def _flat(value: object, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list) and all(isinstance(element, str) for element in value):
        yield from ((f"{key}.{element}", YES) for element in value)
    elif value is not None:
        yield key, str(value)
