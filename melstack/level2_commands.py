"""Commands of level two: stack a run's predictions, write its submission, and its report."""

from pathlib import Path
from typing import Annotated

import typer

from features.compute_blocks import compute_blocks
from features.leaks.audit import REPORT, audit, refuse_leaks
from level2_stack.finished import (
    OUTPUTS,
    changed_since,
    explanation_ingredients,
    stack_ingredients,
    submission_ingredients,
)
from level2_stack.foreign.bring import import_into_run, networks_in
from level2_stack.recipe_files import recipe_file
from melstack.options import NewOutFolder, RunFolder
from runtime.errors import InputFault
from runtime.machine import FreeBytes, this_machine
from runtime.progress import say
from runtime.provenance import check_outputs, is_fresh, write_mark
from runtime.run_folder import Run

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
RecipeName = Annotated[str, typer.Option(help="a name in level2_stack/configs, or a TOML file")]
ForeignFolder = Annotated[Path | None, typer.Option(help="<network>/oof.csv and test.csv of other networks")]
TrustedNames = Annotated[str, typer.Option(help="foreign networks to admit although nothing confirms their test rows")]


def _share(value: float | None) -> float | None:
    """Refuse a prevalence before anything is computed; 1.76 may be meant as percent."""
    if value is not None and not 0 < value < 1:
        raise typer.BadParameter(f"{value:g} is no share between 0 and 1; 1.76 % is 0.0176")
    return value


Prevalence = Annotated[
    float | None,
    typer.Option(callback=_share, help="share of malignant pictures where the probabilities will be used"),
]
ClusterAddress = Annotated[str | None, typer.Option(help="address of a Dask scheduler, tcp://host:8786")]
FURTHER = ("metrics", "paired", "subgroups", "calibration", "reliability", "shift", "ablation")  # .csv
EXPLAINED = ("explanations.parquet", "explanations.json")


@app.command()
def stack(
    run: RunFolder,
    recipe: RecipeName = "default",
    foreign: ForeignFolder = None,
    trust: TrustedNames = "",
    prevalence: Prevalence = None,
    cluster: ClusterAddress = None,
) -> None:
    """Import foreign networks, compute the feature blocks, look for leaks, and cross-validate the recipe's learners."""
    place, file = Run(run), recipe_file(recipe)
    if foreign is not None:
        import_into_run(place, foreign, trust.split())
    elif trust:
        raise InputFault(f"trust = {trust!r} has no effect without a folder of foreign predictions")
    compute_blocks(place)
    audited = audit(place)
    say(f"audit: {len(audited.findings)} finding(s), {len(audited.stops)} to stop for, {place.folder / REPORT}")
    refuse_leaks(audited, str(run))
    folder = place.level2 / file.stem
    made_from = stack_ingredients(place, file, prevalence)
    outputs = [folder / name for name in OUTPUTS]
    if is_fresh(folder / "run.json", made_from, outputs):
        say(f"level two: {file.stem}: fresh, {folder / 'leaderboard.csv'}")
        return
    from level2_stack.stacking import make_stack

    make_stack(place, file, folder, prevalence, cluster)
    further = [path for name in FURTHER if (path := folder / f"{name}.csv").is_file()]
    write_mark(folder / "run.json", made_from, [*outputs, *further, folder / "uncalibrated.parquet"], recipe=recipe)


@app.command("plan-stack")
def plan(
    run: RunFolder,
    recipe: RecipeName = "default",
    foreign: ForeignFolder = None,
    prevalence: Prevalence = None,
    disk: FreeBytes = None,
    memory: FreeBytes = None,
) -> None:
    """Forecast time, disk and memory of a stack, with level one's forecast before it; refuse what cannot fit."""
    place, file = Run(run), recipe_file(recipe)
    names = networks_in(foreign) if foreign is not None else []
    made_from = stack_ingredients(place, file, prevalence)
    outputs = [place.level2 / file.stem / name for name in OUTPUTS]
    fresh = is_fresh(place.level2 / file.stem / "run.json", made_from, outputs) and set(names) <= set(place.networks())
    from level2_stack.forecast.stack import plan_stack

    plan_stack(place, file, names, this_machine(run, disk=disk, memory=memory), fresh=fresh)


@app.command()
def slim(
    run: RunFolder,
    loss: Annotated[float, typer.Option(min=0, max=0.5, help="of AUC that may be lost")],
    recipe: RecipeName = "default",
    prevalence: Prevalence = None,
) -> None:
    """Choose the fewest networks within a loss of AUC, on inner folds, and stack them: slim/<recipe>_slim.toml."""
    from level2_stack.slim.recipe import make_slim_recipe

    place, file = Run(run), recipe_file(recipe)
    made = place.folder / "slim" / f"{file.stem}_slim.toml"
    make_slim_recipe(place, file, loss, made)
    stack(run, str(made), prevalence=prevalence)


@app.command()
def submission(
    run: RunFolder,
    recipe: RecipeName = "default",
    foreign: ForeignFolder = None,
    trust: TrustedNames = "",
    prevalence: Prevalence = None,
    cluster: ClusterAddress = None,
) -> None:
    """Stack, then write submission.csv: checked, in the sample's order."""
    stack(run, recipe, foreign, trust, prevalence, cluster)
    place = Run(run)
    file = recipe_file(recipe)
    made_from = submission_ingredients(place, file.stem)
    # The mark stands beside the file, which all recipes share: another recipe's submission is not this one's.
    mark = place.submission.with_suffix(".json")
    if is_fresh(mark, made_from, [place.submission]):
        say(f"submission: fresh, {place.submission}")
        return
    from level2_stack.submission import make_submission

    make_submission(place, file)
    write_mark(mark, made_from, [place.submission])


@app.command()
def report(run: RunFolder, recipe: RecipeName = "default") -> None:
    """Write report.html into the run, one page of what its finished stack found; open nothing, print the path."""
    from melstack.report.run_page.page import make_report

    place, file = Run(run), recipe_file(recipe)
    _refuse_damaged_stack(place.level2 / file.stem)
    path = make_report(place, file.stem, changed_since(place, file))
    say(f"report: {path}, {path.stat().st_size / 1e6:.2f} MB")


@app.command()
def card(run: RunFolder, recipe: RecipeName = "default") -> None:
    """Write model_card.md into the run from its finished stack."""
    from melstack.report.model_card.writing import write_card

    place, folder = Run(run), Run(run).level2 / recipe_file(recipe).stem
    _refuse_damaged_stack(folder)
    say(f"model card: {write_card(place, folder)}")


@app.command()
def leaderboard(
    runs: Annotated[str, typer.Option(help="run folders; default: all with a finished level two")] = "",
    root: Annotated[Path, typer.Option(help="where runs lie and leaderboard.csv is written")] = Path("runs"),
    against: Annotated[str, typer.Option(help="<run>/<recipe> that others are tested against; default: the best")] = "",
    mlflow: Annotated[Path | None, typer.Option(help="folder of a local MLflow store")] = None,
) -> None:
    """Compare finished stacks: paired tests where the cases are the same, and what was set differently."""
    from melstack.report.run_history.table import compare_runs

    compare_runs([Path(name) for name in runs.split()], root, against, mlflow)


@app.command()
def explain(run: RunFolder, recipe: RecipeName = "default", cluster: ClusterAddress = None) -> None:
    """Write what every column adds to the log odds of every case, for what the finished stack submits."""
    place, file = Run(run), recipe_file(recipe)
    folder = place.level2 / file.stem
    _refuse_unfinished(folder, " to explain")
    outputs, made_from = [folder / name for name in EXPLAINED], explanation_ingredients(folder)
    if is_fresh(folder / "explained.json", made_from, outputs):
        say(f"explanations: fresh, {outputs[0]}")
        return
    from level2_stack.explain.explanations import make_explanations

    make_explanations(place, file, folder, cluster)
    write_mark(folder / "explained.json", made_from, outputs)


@app.command()
def spread(
    table: Annotated[str, typer.Option(help="folder or URL of Parquet files: ids, folds, targets and features")],
    cluster: Annotated[str, typer.Option(help="address of a Dask scheduler, tcp://host:8786")],
    out: NewOutFolder,
    recipe: RecipeName = "default",
) -> None:
    """Cross-validate the boosters of a recipe over a table that no machine holds: its workers read it themselves."""
    from level2_stack.recipe import read_recipe
    from level2_stack.spread.evaluate import Spread, make_spread, spread_learners
    from level2_stack.spread.table import open_table

    file = recipe_file(recipe)
    params = spread_learners(read_recipe(file), file.name)
    asked = Spread(open_table(table), params, out)
    made_from, mark = asked.made_from(), out / "spread.json"
    if is_fresh(mark, made_from, asked.outputs()):
        say(f"spread: fresh, {out}")
        return
    make_spread(asked, cluster)
    write_mark(mark, made_from, asked.outputs(), recipe=recipe)


@app.command()
def design(
    run: RunFolder,
    out: NewOutFolder,
    recipe: RecipeName = "default",
    parts: Annotated[int, typer.Option(min=1, help="number of files")] = 4,
) -> None:
    """Write the design of a finished stack as a table that `spread` reads, in several Parquet files."""
    from level2_stack.spread.write_design import write_design

    folder = Run(run).level2 / recipe_file(recipe).stem
    _refuse_unfinished(folder)
    say(f"design: {write_design(Run(run), recipe_file(recipe), folder, parts, out)} in {parts} files, {out}")


def _refuse_unfinished(folder: Path, purpose: str = "") -> None:
    if not (folder / "run.json").is_file():
        raise InputFault(f"{folder}: no finished stack{purpose}; `make stack` makes it")
    _refuse_damaged_stack(folder)


def _refuse_damaged_stack(folder: Path) -> None:
    check_outputs(folder / "run.json", "`make stack` makes it again")
