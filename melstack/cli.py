"""The command `melstack`: every verb of the project under one name."""

import sys
from importlib import metadata
from typing import Annotated

import typer

from melstack.own_packages import check_own_packages

ORDER = (
    *(
        "submission",
        "cases",
        "audit",
        "plan",
        "oof",
        "stack",
        "blend",
        "explain",
        "report",
        "paper",
        "next",
        "leaderboard",
        "predict",
        "validate",
        "serve",
    ),
    *("init", "eda", "contact-sheet", "features", "views", "augment-sheet", "lr-find", "tune", "bundle", "distil"),
    *("verify", "check-bundle", "sign", "clinic", "spread", "design", "sbatch", "part"),
)


def main() -> None:
    """Run the command that was typed; print a message and exit with code 2 if its input is wrong."""
    try:
        check_own_packages()
    except ImportError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    from melstack.command_line import run_app

    run_app(build_app(), "melstack")


def build_app() -> typer.Typer:
    """Return the app with every verb, in the order of ``ORDER``: daily verbs, closer looks, maintenance."""
    from melstack.command_line import new_app
    from melstack.commands import batch, blend, bundle, data, level1, level2, plan, report
    from melstack.limited_commands import LIGHT, limit_command

    app = new_app(
        "From skin-lesion pictures and a CSV to a leak-free, calibrated melanoma probability per picture.",
        "`melstack VERB -h` shows a verb's options with an example. To begin: `melstack submission` on the demo, "
        "`melstack submission --data mydata` on your own pictures.",
    )
    parts = (data, level1, plan, level2, blend, report, bundle, batch)
    commands = [command for part in parts for command in part.app.registered_commands]
    by_verb = {command.name or getattr(command.callback, "__name__", ""): command for command in commands}
    app.registered_commands = [by_verb[verb] if verb in LIGHT else limit_command(by_verb[verb]) for verb in ORDER]
    app.callback()(main_options)
    return app


def print_version(is_requested: bool) -> None:
    """Print the version and exit if the option is given."""
    if is_requested:
        print(f"melstack {metadata.version('melstack')}")
        raise typer.Exit


def main_options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=print_version)
    ] = False,
) -> None:
    """Take the options of ``melstack`` itself."""
