"""How a command line of this project starts and ends: help, translation of make's variables, missing extras, errors."""

import os
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path

import typer
from typer.core import TyperGroup, TyperOption

from melstack.extras import missing_extra
from melstack.make_words import GOALS, arguments_of
from runtime.errors import InputFault
from runtime.exit_codes import run_command
from runtime.invocation import option
from runtime.progress import forget_warnings

ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",  # TensorFlow's messages at its start would hide ours
    "OMP_WAIT_POLICY": "PASSIVE",  # waiting threads that spin make boosting many times slower on shared cores
}


def new_app(help_text: str, epilog: str = "") -> typer.Typer:
    """Return an app without commands; every command that is added to it has the option -h."""
    return typer.Typer(
        help=help_text,
        epilog=epilog,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def run_app(app: typer.Typer, program: str) -> None:
    """Run the command that was typed; exit with a message on expected errors and signals, as ``run_command`` does."""
    run_command(lambda: _run(app, program))


def _run(app: typer.Typer, program: str) -> None:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    forget_warnings()
    command = typer.main.get_command(app)
    arguments = sys.argv[1:]
    goals = os.environ.pop(GOALS, None)  # set by make; a process that this one starts is not called by make
    if goals is not None and isinstance(command, TyperGroup):
        arguments = arguments_of(arguments, command, goals.split())
    arguments = [_with_home(word) for word in arguments]
    _refuse_empty_values(arguments)
    for each in _options_of(command, arguments):
        _refuse_two_values(each, arguments)
        # typer's own errors name an option by this: without it, not as make's users type it.
        each.get_error_hint = partial(_option_in_line, each, arguments)  # type: ignore[method-assign]
    sys.argv[1:] = arguments  # the run's record of commands has a command of make as `melstack` takes it
    try:
        command(arguments, prog_name=program)
    except ModuleNotFoundError as error:
        message = missing_extra(error)
        if message is None:
            raise
        raise InputFault(message) from error


def _options_of(app: object, arguments: list[str]) -> list[TyperOption]:
    """Return the options of the command that ``arguments`` begin with."""
    verb = app.commands.get(arguments[0]) if arguments and isinstance(app, TyperGroup) else app
    return [each for each in getattr(verb, "params", []) if isinstance(each, TyperOption)]


def _values(single: TyperOption, arguments: list[str]) -> list[str]:
    """Return the values that ``arguments`` give an option, in their order."""
    words = [(*word.partition("="), after) for word, after in pairwise([*arguments, ""])]
    return [value if equals else after for name, equals, value, after in words if name in single.opts]


def _option_in_line(single: TyperOption, arguments: list[str], *_: object) -> str:
    """Return an option with its value as the user typed it, for make or ``melstack``."""
    values, name = _values(single, arguments), single.opts[0].removeprefix("--")
    return option(name, values[-1] if values else "")


def _refuse_two_values(single: TyperOption, arguments: list[str]) -> None:
    """Raise InputFault for an option that takes one value and has several: one of them must be a mistake."""
    values = [] if single.is_flag or single.multiple else _values(single, arguments)
    if len(set(values)) > 1:
        raise InputFault(f"{single.opts[0]}: takes one value, found {' and '.join(values)}; leave one out")


def _with_home(word: str) -> str:
    """Return ``word`` with the home folder instead of a leading ~ of its value, which shells leave after ``=``."""
    name, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    is_home = value == "~" or value.startswith("~/")
    return f"{name}{equals}{Path(value).expanduser()}" if is_home else word


def _refuse_empty_values(arguments: list[str]) -> None:
    """Raise InputFault for an option whose value is empty, as of a shell variable that is not set."""
    for before, word in pairwise(["", *arguments]):
        if word == "" or (word.startswith("--") and word.endswith("=")):
            raise InputFault(f"{before if word == '' else word[:-1]}: empty; give a value, or leave the option out")
