"""How a command line of this project starts and ends: help, translation of make's variables, missing extras, errors."""

import os
import sys

import typer
from typer.core import TyperGroup

from melstack.extras import missing_extra
from melstack.make_words import GOALS, arguments_of
from runtime.errors import InputFault
from runtime.exit_codes import run_command


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
    command = typer.main.get_command(app)
    arguments = sys.argv[1:]
    goals = os.environ.pop(GOALS, None)  # set by make; a process that this one starts is not called by make
    if goals is not None and isinstance(command, TyperGroup):
        arguments = arguments_of(arguments, command, goals.split())
    try:
        command(arguments, prog_name=program)
    except ModuleNotFoundError as error:
        message = missing_extra(error)
        if message is None:
            raise
        raise InputFault(message) from error
