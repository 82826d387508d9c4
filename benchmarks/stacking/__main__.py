"""Commands that repeat the figures about level two's own numbers; and a drawn table, for those of `make spread`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from level2_stack.recipe_files import recipe_file
from melstack.command_line import new_app, run_app
from melstack.options import RunFolder
from runtime.run_folder import Run

if TYPE_CHECKING:
    from level2_stack.design.assemble import Design
    from level2_stack.recipe import Recipe

app = new_app(__doc__ or "")
RecipeFile = Annotated[Path, typer.Option(help="the recipe, a TOML file")]
Out = Annotated[Path | None, typer.Option(help="a JSON file for the figures")]
DEFAULT = recipe_file("default")


@app.command()
def null(
    run: RunFolder,
    seeds: Annotated[int, typer.Option(min=1, help="how many permutations of the targets")] = 20,
    booster_seeds: Annotated[int | None, typer.Option(min=1, help="fewer seeds per booster than the recipe")] = None,
    recipe: RecipeFile = DEFAULT,
    out: Out = None,
) -> None:
    """Permute a run's targets among the patients of each fold, and see whether level two finds nothing in them."""
    from benchmarks.stacking.null import null_study
    from benchmarks.stacking.study import check_out, report

    check_out(out)
    design, read = _design_of(run, recipe)
    fewer = read if booster_seeds is None else read.model_copy(update={"seeds": booster_seeds})
    report(null_study(design, fewer, range(seeds)), out)


@app.command()
def truth(
    cohorts: Annotated[int, typer.Option(min=2)] = 12,
    train: Annotated[int, typer.Option(min=200, help="pictures that level two learns from")] = 1500,
    test: Annotated[int, typer.Option(min=200, help="fresh pictures of other patients")] = 20000,
    level_one: Annotated[str, typer.Option(help="steady or overfitting")] = "steady",
    overfitting: Annotated[bool, typer.Option(help="measure stacked overfitting as well")] = True,
    recipe: RecipeFile = DEFAULT,
    out: Out = None,
) -> None:
    """Draw clinics with a known risk, and compare what level two reports with what it reaches on fresh patients."""
    from benchmarks.stacking.networks import KINDS
    from benchmarks.stacking.optimism import optimism_study
    from benchmarks.stacking.study import check_out, joined, report
    from benchmarks.stacking.truth import truth_study
    from level2_stack.recipe import read_recipe
    from runtime.errors import InputFault, did_you_mean

    check_out(out)
    if level_one not in KINDS:
        raise InputFault(f"--level-one {level_one!r}; {did_you_mean(level_one, list(KINDS))}")
    read, drawn = read_recipe(recipe), range(cohorts)
    study = truth_study(read, drawn, train=train, test=test, networks=KINDS[level_one])
    if overfitting:
        study = joined(study, optimism_study(read, drawn, train=train, test=test))
    report(study, out)


@app.command()
def leak(
    run: RunFolder,
    strength: Annotated[list[float] | None, typer.Option(help="AUC of the planted column alone; repeatable")] = None,
    recipe: RecipeFile = DEFAULT,
    out: Out = None,
) -> None:
    """Plant a column that knows the target among a run's metadata, and see whether the ablation names it."""
    from benchmarks.stacking.leak import leak_study
    from benchmarks.stacking.study import check_out, report

    check_out(out)
    design, read = _design_of(run, recipe)
    report(leak_study(design, read, strength or [0.8, 0.9, 0.95, 0.99]), out)


@app.command()
def growth(
    run: RunFolder,
    rows: Annotated[list[int] | None, typer.Option(min=100, help="train rows of a size; repeatable")] = None,
    recipe: RecipeFile = DEFAULT,
    out: Out = None,
) -> None:
    """Measure time and memory of level two at several sizes, made from a run's patients drawn with replacement."""
    from benchmarks.stacking.growth import growth_study
    from benchmarks.stacking.study import check_out, report

    check_out(out)
    report(growth_study(run, recipe, rows or [33_126, 100_000, 401_059]), out)


@app.command()
def memory(
    run: RunFolder,
    data: Annotated[Path, typer.Option(help="the data folder")],
    foreign: Annotated[Path | None, typer.Option(help="<network>/oof.csv and test.csv of other networks")] = None,
    recipe: Annotated[str, typer.Option(help="a name in level2_stack/configs, or a TOML file")] = "default",
    out: Out = None,
) -> None:
    """Measure time and memory of every command from the tables to the report, all its processes counted."""
    from benchmarks.stacking.memory import memory_study
    from benchmarks.stacking.study import check_out, report
    from runtime.errors import InputFault

    check_out(out)
    study = memory_study(run, data, foreign, recipe)
    report(study, out)
    if study.figures["exit_code"]:
        raise InputFault(f"the last command ended with exit code {study.figures['exit_code']}")


@app.command()
def draw_table(
    folder: Path,
    rows: Annotated[int, typer.Option(min=1000)] = 2_000_000,
    columns: Annotated[int, typer.Option(min=2)] = 60,
    files: Annotated[int, typer.Option(min=1)] = 4,
    seed: int = 0,
) -> None:
    """Draw a table of any size into Parquet files, on which `make spread` shows what it takes."""
    from benchmarks.stacking import drawn_table

    drawn_table.draw_table(folder, rows, columns, files, seed)


def _design_of(run: Path, recipe: Path) -> "tuple[Design, Recipe]":
    """Return the design of the run at ``run`` as the command `stack` makes it, and the recipe read."""
    from features.compute_blocks import compute_blocks
    from level2_stack.recipe import read_recipe
    from level2_stack.stacking import design_of_run, read_predictions

    place, read = Run(run), read_recipe(recipe)
    compute_blocks(place)
    design, _ = design_of_run(place, read, place.read_cases(), read_predictions(place))
    return design, read


if __name__ == "__main__":
    run_app(app, "python -m benchmarks.stacking")
