"""Options that several commands share, and how a command line ends."""

from pathlib import Path
from typing import Annotated

import typer


def _hold_new(context: typer.Context, folder: Path) -> Path:
    """Hold the run for as long as the command lasts: of two that write into one run the second is refused."""
    from runtime.folder_lock import lock_folder

    context.find_root().with_resource(lock_folder(folder))  # the root lets go whatever happens to the subcommand
    return folder


def _hold(context: typer.Context, folder: Path) -> Path:
    """Hold the run if it is there: a mistyped one is not made."""
    return _hold_new(context, folder) if folder.is_dir() else folder


RunFolder = Annotated[Path, typer.Option("--run", help="the run's folder", callback=_hold)]
NewRunFolder = Annotated[Path, typer.Option("--run", help="the run's folder", callback=_hold_new)]
NewOutFolder = Annotated[Path, typer.Option("--out", help="the folder to write into", callback=_hold_new)]
LookedAtRun = Annotated[Path, typer.Option("--run", help="the run's folder")]  # of commands that write nothing into it


def run_app(commands: typer.Typer) -> None:
    """Run a command line; print what ends it early as a sentence, and exit with code 2 or the signal's."""
    from runtime.exit_codes import run_command

    run_command(commands)
