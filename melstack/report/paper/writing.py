"""Write the folder of a paper: figures, tables, methods and checklists of a stack, with a list of all files."""

import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from melstack.report.formats import SHORT
from melstack.report.model_card.writing import escape_markdown
from melstack.report.paper.baseline import baseline_table
from melstack.report.paper.checklists import GUIDELINES, METHODS, checklist
from melstack.report.paper.curves import curve_figures
from melstack.report.paper.drawing import PaperFigure
from melstack.report.paper.flow import flow_figure
from melstack.report.paper.forests import forest_figures
from melstack.report.paper.methods import methods_text
from melstack.report.paper.more_tables import operating_points_table, settings_table
from melstack.report.paper.result_tables import result_tables, without_shift_words
from melstack.report.paper.text_tables import PaperTable
from melstack.report.run_page.inputs import StackResults, read_stack
from melstack.report.stack_parts import PAPER_MARK, paper_ingredients
from runtime.errors import Faults
from runtime.files import write_text
from runtime.invocation import command
from runtime.progress import say
from runtime.provenance import find_damage, outputs_of, read_mark, write_mark
from runtime.run_folder import Run

PARTIAL_FOLDER = ".paper-unfinished"  # in the run folder: what a command writes, until all of it is there
CONTENTS = "README.md"
FIGURES, TABLES, CHECKLISTS = "figures", "tables", "checklists"
# Columns that figures and tables need, and that stacks of earlier versions may lack.
COLUMNS = {
    "leaderboard": ("name", "kind", "auc", "low", "high", "gain", "gain_low", "gain_high", "auc_fold_mean", "rows"),
    "paired": (
        "model",
        "against",
        "rows",
        "auc",
        "auc_against",
        "gain",
        "low",
        "high",
        "p_bootstrap",
        "z_delong",
        "p_delong",
    ),
    "metrics": ("model", "metric", "value", "low", "high", "replicates", "prevalence"),
    "calibration": (
        "model",
        "log_loss",
        "brier",
        "ece",
        "slope",
        "intercept",
        "in_the_large",
        "mean_probability",
        "observed",
    ),
    "subgroups": (
        "kind",
        "value",
        "rows",
        "positives",
        "patients",
        "auc",
        "threshold",
        "sensitivity",
        "specificity",
        "excess",
    ),
    "reliability": ("mean_probability", "observed", "observed_low", "observed_high", "rows"),
}


def write_paper(run: Run, recipe: str, changes: Sequence[str] = ()) -> Path:
    """Write ``run``/paper from its stack ``recipe``, and return the folder.

    An earlier folder is replaced. ``changes`` are sentences on what has changed since the stack was made; the list of
    files shows them. Raises InputFault that names every missing file of the stack, or all columns that its tables lack.
    """
    stack = read_stack(run, recipe, ("paired",))
    _refuse_older(stack)
    folder, final = run.folder / PARTIAL_FOLDER, (run.folder / PAPER_MARK).parent
    shutil.rmtree(folder, ignore_errors=True)  # of a command that was killed
    write_mark(folder / PAPER_MARK.name, paper_ingredients(run, recipe), _write_files(stack, folder, changes))
    if final.is_dir():
        _make_room(final)
    folder.rename(final)
    return final


def _write_files(stack: StackResults, folder: Path, changes: Sequence[str]) -> list[Path]:
    figures, tables = paper_figures(stack), paper_tables(stack)
    paths = [path for figure in figures for path in figure.write(folder / FIGURES)]
    paths += [path for table in tables for path in table.write(folder / TABLES)]
    write_text(folder / METHODS, methods_text(stack))
    # Last: checklists look for the files that are there.
    paths += [path for name in GUIDELINES for path in checklist(name, stack, folder).write(folder / CHECKLISTS)]
    write_text(folder / CONTENTS, "".join(f"{line}\n" for line in _contents(stack, figures, tables, changes)))
    return [*paths, folder / METHODS, folder / CONTENTS]


def _make_room(folder: Path) -> None:
    """Remove an earlier folder of the paper; if somebody has edited or added a file, keep it under another name."""
    mark = folder / PAPER_MARK.name
    content = read_mark(mark)
    own_files = set() if content is None else {mark, *outputs_of(mark, content)}
    if own_files == {path for path in folder.rglob("*") if path.is_file()} and not find_damage(mark):
        shutil.rmtree(folder)
        return
    copy = folder.with_name(f"{folder.name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    folder.rename(copy)
    say(f"paper: files in {folder} were edited or added; the folder is kept as {copy}")


def paper_figures(stack: StackResults) -> list[PaperFigure]:
    """Return every figure of the paper."""
    return [flow_figure(stack), *curve_figures(stack), *forest_figures(stack)]


def paper_tables(stack: StackResults) -> list[PaperTable]:
    """Return every table of the paper."""
    points = operating_points_table(stack)
    return [
        baseline_table(stack.cases),
        *result_tables(stack),
        *([] if points is None else [points]),
        settings_table(stack),
    ]


def _refuse_older(stack: StackResults) -> None:
    faults = Faults()
    for name, columns in COLUMNS.items():
        missing = [column for column in columns if column not in stack.tables[name]]
        if missing:
            faults.add(
                f"{stack.folder / name}.csv: no column {', '.join(missing)}: an earlier version wrote it; "
                f"{command('stack')} makes the stack again"
            )
    faults.raise_if_any("paper")


def _contents(
    stack: StackResults, figures: Sequence[PaperFigure], tables: Sequence[PaperTable], changes: Sequence[str]
) -> Iterator[str]:
    name = escape_markdown(stack.run.folder.resolve().name)
    yield f"# Paper files of run {name}\n"
    yield f"Made from stack {stack.digest} ({stack.digest[:SHORT]}) of recipe {escape_markdown(stack.recipe)}.\n"
    if stack.smaller is not None:
        yield f"**Quote the smaller AUC.**{without_shift_words(stack)}\n"
    if changes:
        yield "**The stack is out of date.** Changed since it was made:\n"
        yield from (f"- {escape_markdown(line)}" for line in changes)
        yield f"\n{command('stack')} makes it again.\n"
    yield "- `methods.md`: methods and main results, from what the run records. Edit a copy: it is written again."
    yield f"- `{CHECKLISTS}/`: TRIPOD+AI, PROBAST+AI and CLAIM, with the place of every item.\n"
    yield "## Figures\n\nEach as `.svg` and `.pdf` (vector), `.png` (300 dpi) and `.csv` (the points).\n"
    yield from (f"- `{FIGURES}/{figure.name}`: {escape_markdown(figure.caption)}" for figure in figures)
    yield "\n## Tables\n\nEach as `.csv` (every digit), `.tex` (LaTeX: booktabs, adjustbox) and `.md`.\n"
    yield from (f"- `{TABLES}/{table.name}`: {escape_markdown(table.caption)}" for table in tables)
