"""Keep what a command replaces: runs/<name>/history/<time>-<digest>/ has the replaced stack, submission and pages."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

from level2_stack.finished import stack_digest
from melstack.report.stack_parts import PAPER_MARK
from runtime.progress import say
from runtime.provenance import Inputs, differences_of, read_mark
from runtime.run_folder import Run

FOLDER = "history"
PAGES = ("model_card.md", "report.html")
TUNING = "tuning"  # of a stack: its trials count for the next stack of the recipe too


def replaced_runs(run: Run) -> list[Run]:
    """Return what was replaced in ``run``, the oldest first: folders with the same paths as a run, but few files."""
    return [Run(folder) for folder in sorted((run.folder / FOLDER).glob("*/"))]


def keep_stack(run: Run, recipe: str, made_from: Inputs) -> None:
    """Move the finished stack of ``recipe``, and the submission and pages made from it, to the run's history.

    Does nothing without a finished stack, or if it was made from ``made_from``, so that the next is the same. A stack
    that the history has already is only removed.
    """
    folder = run.level2 / recipe
    content = read_mark(folder / "run.json")
    if content is None or not differences_of(content, made_from) or not (folder / "predictions.parquet").is_file():
        return
    stack = stack_digest(folder)
    place = _place(run, stack)
    _move_files(run, stack, place)
    copy = place.level2 / recipe
    if copy.exists():
        shutil.rmtree(folder)
        return
    copy.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(copy)
    if (copy / TUNING).is_dir():
        folder.mkdir()
        (copy / TUNING).rename(folder / TUNING)
    say(f"the stack that is replaced is kept in {place.folder}")


def keep_submission(run: Run, recipe: str) -> None:
    """Move submission.csv and the pages of its stack to the run's history, unless it is of the stack of ``recipe``."""
    stack = _submitted_stack(run)
    if stack is not None and stack != stack_digest(run.level2 / recipe):
        place = _place(run, stack)
        _move_files(run, stack, place)
        say(f"the submission that is replaced is kept in {place.folder}")


def _submitted_stack(run: Run) -> str | None:
    """Return the digest of the predictions that submission.csv was made from; None without a submission."""
    content = read_mark(run.submission.with_suffix(".json"))
    return None if content is None else str(content["made_from"]["predictions"])


def _place(run: Run, stack: str) -> Run:
    """Return the folder of the history for the stack with this digest: the one that has files of it, or a new one."""
    name = next((place.folder for place in replaced_runs(run) if place.folder.name.endswith(f"-{stack[:8]}")), None)
    return Run(name or run.folder / FOLDER / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{stack[:8]}")


def _move_files(run: Run, stack: str, place: Run) -> None:
    """Move the submission and the pages of the stack with the digest ``stack`` to ``place``."""
    pages = [page for name in PAGES if (page := run.folder / name).is_file() and stack in page.read_text("utf-8")]
    mark = run.submission.with_suffix(".json")
    # The mark goes last: after a kill in between, the next command moves the rest.
    submission = [run.submission, mark] if _submitted_stack(run) == stack else []
    place.folder.mkdir(parents=True, exist_ok=True)
    _move_paper(run, stack, place)
    for path in (*pages, *submission):
        if path.is_file():
            path.replace(place.folder / path.name)


def _move_paper(run: Run, stack: str, place: Run) -> None:
    """Move the files of a paper on the stack with the digest ``stack`` to ``place``."""
    mark, copy = run.folder / PAPER_MARK, (place.folder / PAPER_MARK).parent
    content = read_mark(mark)
    if content is not None and content["made_from"]["stack"] == stack and not copy.exists():
        mark.parent.rename(copy)


def history_of(run: Run) -> list[Path]:
    """Return the folders of the finished stacks in the run's history, the oldest first."""
    return sorted(mark.parent for place in replaced_runs(run) for mark in place.level2.glob("*/run.json"))
