"""The command line: every verb of the project under one name, `python -m melstack VERB`."""

import typer

from melstack import bundle_commands, data_commands, level1_commands, level2_commands
from melstack.options import run_app

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
for part in (data_commands, level1_commands, level2_commands, bundle_commands):
    app.add_typer(part.app)


def main() -> None:
    """Run the command that was typed; exit with code 2 where its input is at fault."""
    run_app(app)
