"""Commands that show a finished stack: explanations, the report, the leaderboard of several runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from melstack.option_groups import expand_groups
from melstack.option_types import setting
from melstack.options import DAILY, ClusterAddress, RecipeOptions, RunOptions, split_names
from melstack.steps.stacking import run_with_stack
from runtime.invocation import command
from runtime.plural import number_of
from runtime.progress import say

if TYPE_CHECKING:
    from runtime.run_folder import Run

app = typer.Typer()
EXPLANATIONS = ("explanations.parquet", "explanations.json")


@app.command(rich_help_panel=DAILY, epilog="Example: melstack explain --data mydata")
@expand_groups
def explain(
    run_options: RunOptions,
    options: RecipeOptions,
    patients: Annotated[list[str] | None, setting("patients whose boards are drawn", "NAME", "a choice")] = None,
    cluster: ClusterAddress = None,
) -> None:
    """Compute what every column adds to every probability; draw heat maps, galleries and patient boards."""
    with run_options.lock():
        run = run_with_stack(run_options, options, " to explain")
        if patients:
            from melstack.report.galleries.patient_boards import check_patients

            check_patients(run.read_cases(), split_names(patients))
        _explain_columns(run, options.file, cluster)
        if not run.facts()["pictures"]:
            say("galleries: the cases have no pictures, so no gallery is drawn")
            return
        _draw_galleries(run, options.file.stem, split_names(patients) or None)


@app.command(rich_help_panel=DAILY, epilog="Example: melstack report --data mydata")
@expand_groups
def report(run_options: RunOptions, options: RecipeOptions) -> None:
    """Write report.html and model_card.md of the finished stack; `explain` first adds explanations and galleries."""
    from level2_stack.finished import changed_since

    with run_options.lock():
        run = run_with_stack(run_options, options)
        from melstack.report.model_card.writing import write_card
        from melstack.report.run_page.page import make_report

        say(f"model card: {write_card(run, run.level2 / options.file.stem)}")
        path = make_report(run, options.file.stem, changed_since(run, options.file))
        say(f"report: {path}, {path.stat().st_size / 1e6:.2f} MB")


@app.command(rich_help_panel=DAILY, epilog="Example: melstack paper --data mydata")
@expand_groups
def paper(run_options: RunOptions, options: RecipeOptions) -> None:
    """Write what a paper on the finished stack needs into RUN/paper: figures, tables, methods, checklists."""
    with run_options.lock():
        run = run_with_stack(run_options, options)
        from melstack.report.paper.writing import write_paper

        changes = _say_changes("paper", run, options)
        folder = write_paper(run, options.file.stem, changes)
        files = sum(path.is_file() for path in folder.rglob("*"))
        say(f"paper: {folder}, {number_of(files, 'file')}; {folder / 'README.md'} says what each is")


@app.command("next", rich_help_panel=DAILY, epilog="Example: melstack next --data mydata")
@expand_groups
def next_steps(run_options: RunOptions, options: RecipeOptions) -> None:
    """Measure what more patients, networks, views and columns would give; list labels for another look."""
    with run_options.lock():
        run = run_with_stack(run_options, options)
        from melstack.next_steps.measure import write_next
        from melstack.report.run_page.page import make_report

        changes = _say_changes("next", run, options)
        folder = write_next(run, options.file.stem)
        page = make_report(run, options.file.stem, changes)
        say(f"next: {folder}; with pictures in {page}#next")


def _say_changes(verb: str, run: Run, options: RecipeOptions) -> list[str]:
    """Return what changed since the stack was made, and say the first of it in the name of ``verb``."""
    from level2_stack.finished import changed_since

    changes = changed_since(run, options.file)
    if changes:
        say(f"{verb}: the stack is out of date; {command('stack')} makes it again. Changed since: {changes[0]}")
    return changes


@app.command(rich_help_panel=DAILY, epilog="Example: melstack leaderboard --runs runs/a --runs runs/b")
def leaderboard(
    runs: Annotated[list[str] | None, setting("run folders", "FOLDER", "all with a finished stack")] = None,
    root: Annotated[Path, setting("where the runs are, and leaderboard.csv is written", "FOLDER")] = Path("runs"),
    against: Annotated[str, setting("<run>/<recipe> that others are tested against", "NAME", "the best")] = "",
    mlflow: Annotated[Path | None, setting("folder of a local MLflow store to log to", "FOLDER", "")] = None,
) -> None:
    """Compare finished stacks: paired tests where the cases are the same, and which settings differ."""
    from melstack.report.run_history.table import compare_runs

    compare_runs([Path(name) for name in split_names(runs)], root, against, mlflow)


def _explain_columns(run: Run, file: Path, cluster: str | None) -> None:
    from level2_stack.finished import explanation_ingredients
    from runtime.provenance import is_fresh, write_mark

    folder = run.level2 / file.stem
    outputs, made_from = [folder / name for name in EXPLANATIONS], explanation_ingredients(folder)
    if is_fresh(folder / "explained.json", made_from, outputs):
        say(f"explanations: fresh, {outputs[0]}")
        return
    from level2_stack.explain.explanations import make_explanations

    make_explanations(run, folder, cluster)
    write_mark(folder / "explained.json", made_from, outputs)


def _draw_galleries(run: Run, recipe: str, patients: list[str] | None) -> None:
    from melstack.report.stack_parts import GALLERIES_MARK, gallery_ingredients
    from runtime.provenance import is_fresh, write_mark

    folder, mark = run.folder / "galleries", run.folder / GALLERIES_MARK
    made_from = gallery_ingredients(run, recipe, patients)
    if is_fresh(mark, made_from, [folder / "index.json"]):
        say(f"galleries: fresh, {folder / 'index.json'}")
        return
    from level1_cnn.hardware.import_tensorflow import import_tensorflow

    import_tensorflow()
    from melstack.report.galleries.make import make_galleries

    mark.unlink(missing_ok=True)
    make_galleries(run, recipe, patients=patients)
    write_mark(mark, made_from, [path for path in folder.rglob("*") if path.is_file()])
