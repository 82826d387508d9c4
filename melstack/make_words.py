"""Translate `make TARGET NAME=value ...` to a command line: every variable becomes the option of the same name."""

import os
import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches

from typer.core import TyperGroup, TyperOption

from runtime.errors import InputFault

GOALS = "MELSTACK_GOALS"  # in the environment: every target of this call of make
VARIABLE = re.compile(r"[A-Z_]+=")
# Names that hardly mean anything else; HOST, TEST, ROOT or SEED of the environment may be another program's.
FROM_ENVIRONMENT = {
    *("DATA", "RUN", "MAPPING", "EXTRA", "PROFILE", "MODELS", "DEVICES", "DETERMINISTIC", "CLUSTER"),
    *("RECIPE", "FOREIGN", "TRUST", "PREVALENCE", "BUNDLE"),
}
RUN_FLAGS = ("DETERMINISTIC", "OFFICIAL_FOLDS")  # flags that a run remembers: 0 returns them to their default
YES, NO = {"1", "yes", "true", "on"}, {"0", "no", "false", "off"}


def arguments_of(words: list[str], app: TyperGroup, goals: Sequence[str]) -> list[str]:
    """Return ``words`` (a verb and NAME=value) as the verb and its options; all other words stay.

    ``goals`` are all targets of the same call of make: a variable that only another target takes is left out.
    Raises InputFault for a variable that no target takes, with the nearest name.
    """
    verb, rest = words[0], [word for word in words[1:] if not VARIABLE.match(word)]
    variables = dict(word.split("=", 1) for word in words[1:] if VARIABLE.match(word))
    verbs = [goal for goal in goals if goal in app.commands]
    options = options_of(app, verb)
    every = {name: option for goal in (*verbs, verb) for name, option in options_of(app, goal).items()}
    faults = [_no_effect(name, verb, every) for name in variables if name not in every]
    if faults and len(verbs) == len(goals):
        raise InputFault("\n".join(faults))
    if empty := [name for name, value in variables.items() if not value]:
        raise InputFault(f"{', '.join(empty)}: empty; give a value, or leave it out")
    values = _from_environment(options, variables) | variables
    arguments = [word for name, option in options.items() for word in _words(name, option, values.get(name, ""))]
    resets = [name.lower() for name in options if name in RUN_FLAGS and values.get(name, "").lower() in NO]
    return [verb, *arguments, *(["--reset", " ".join(resets)] if resets else []), *rest]


def options_of(app: TyperGroup, verb: str) -> dict[str, TyperOption]:
    """Return make's name -> option, for every option of a verb; raise InputFault for an unknown verb."""
    if verb not in app.commands:
        raise InputFault(f"{verb!r} is not a command; known are {', '.join(app.commands)}")
    return {
        text.removeprefix("--").replace("-", "_").upper(): option
        for option in app.commands[verb].params
        if isinstance(option, TyperOption) and option.name != "help"
        for text in option.opts
        if text.startswith("--")
    }


def _no_effect(name: str, verb: str, options: dict[str, TyperOption]) -> str:
    near = get_close_matches(name, options, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(options)}"
    return f"{name}=... has no effect on `make {verb}`; {hint}"


def _from_environment(options: dict[str, TyperOption], from_make: dict[str, str]) -> dict[str, str]:
    """Return the variables of the environment that name an option; each is printed, since it may be an accident."""
    settings = {
        name: os.environ[name]
        for name in options
        if name not in from_make and name in FROM_ENVIRONMENT and os.environ.get(name)
    }
    for name, value in settings.items():
        print(f"{name}={value}: taken from the environment", file=sys.stderr)
    return settings


def _words(name: str, option: TyperOption, value: str) -> list[str]:
    """Return an option and its value as click reads them; an empty value stands for an option that is not given."""
    if not value:
        return []
    long = next(text for text in option.opts if text.startswith("--"))
    if not option.is_flag:
        return [f"{long}={value}"]
    if value.lower() not in YES | NO:
        raise InputFault(f"{name}={value}: must be 1 (yes) or 0 (no)")
    return [long] if value.lower() in YES else []
