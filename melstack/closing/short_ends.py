"""The last lines of the commands that make no stack: what there is now, and the command that comes next."""

from __future__ import annotations

from collections.abc import Sequence

from melstack.closing.warnings_of_run import audit_warnings
from melstack.report.column_words import read_words, with_raw_name
from runtime.files import read_json
from runtime.invocation import command
from runtime.progress import LOG, earlier_warnings, say
from runtime.run_folder import Run


def print_networks(run: Run) -> None:
    """Print the out-of-fold AUC of every network that was trained in ``run``, best first, and what comes next."""
    words = read_words(run)
    marks = {name: read_json(run.level1 / name / "run.json") for name in run.networks()}
    aucs = {name: mark["auc"] for name, mark in marks.items() if "auc" in mark}
    lines = [
        f"{with_raw_name(words.network(name), name)}: out-of-fold AUC {auc['overall']:.4f} "
        f"(folds {auc['lowest']:.3f} to {auc['highest']:.3f})"
        for name, auc in sorted(aucs.items(), key=lambda item: -item[1]["overall"])
    ]
    print_short_end(run, lines, "stack")


def print_short_end(run: Run, lines: Sequence[str], verb: str) -> None:
    """Print ``lines``, the warnings on ``run``, where the log is, and the command of ``verb`` as the next one."""
    say("")
    for line in lines:
        say(line)
    for warning in dict.fromkeys([*audit_warnings(run), *earlier_warnings()]):
        say(f"warning: {warning}")
    say(f"files: {run.folder}, {run.folder / LOG}")
    say(f"next: {command(verb, run=run.folder)}")
