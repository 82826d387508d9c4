"""Commands that check the figures that level two reports, and one that draws a table for `make spread`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from melstack.command_line import new_app, run_app
from melstack.option_groups import expand_groups
from melstack.options import RecipeOptions, RunOptions
from runtime.run_folder import Run

if TYPE_CHECKING:
    from level2_stack.design.assemble import Design
    from level2_stack.recipe import Recipe

app = new_app(__doc__ or "")
Out = Annotated[Path | None, typer.Option(help="the JSON file to write the figures to")]


@app.command()
@expand_groups
def null(
    run_options: RunOptions,
    recipe_options: RecipeOptions,
    seeds: Annotated[int, typer.Option(min=1, help="the number of permutations of the targets")] = 20,
    booster_seeds: Annotated[int | None, typer.Option(min=1, help="seeds per booster, instead of the recipe's")] = None,
    out: Out = None,
) -> None:
    """Permute a run's targets among the patients of each fold; level two must find no signal in them."""
    from benchmarks.stacking.null import null_study
    from benchmarks.stacking.study import check_out, report

    check_out(out)
    design, settings = _design_of(run_options.folder, recipe_options.file)
    if booster_seeds is not None:
        settings = settings.model_copy(update={"seeds": booster_seeds})
    report(null_study(design, settings, range(seeds)), out)


@app.command()
@expand_groups
def truth(
    recipe_options: RecipeOptions,
    cohorts: Annotated[int, typer.Option(min=2, help="the number of synthetic clinics")] = 12,
    train: Annotated[int, typer.Option(min=200, help="training pictures per clinic")] = 1500,
    test: Annotated[int, typer.Option(min=200, help="pictures of other patients per clinic")] = 20000,
    level_one: Annotated[str, typer.Option(help="steady or overfitting")] = "steady",
    overfitting: Annotated[bool, typer.Option(help="measure stacked overfitting as well")] = True,
    out: Out = None,
) -> None:
    """Draw clinics with a known risk; compare the AUC that level two reports with its AUC on new patients."""
    from benchmarks.stacking.networks import KINDS
    from benchmarks.stacking.optimism import optimism_study
    from benchmarks.stacking.study import check_out, join_studies, report
    from benchmarks.stacking.truth import truth_study
    from level2_stack.recipe import read_recipe
    from runtime.errors import InputFault, did_you_mean

    check_out(out)
    if level_one not in KINDS:
        raise InputFault(f"--level-one {level_one!r} is unknown; {did_you_mean(level_one, list(KINDS))}")
    settings, seeds = read_recipe(recipe_options.file), range(cohorts)
    study = truth_study(settings, seeds, train=train, test=test, networks=KINDS[level_one])
    if overfitting:
        study = join_studies(study, optimism_study(settings, seeds, train=train, test=test))
    report(study, out)


@app.command()
def choice(
    cohorts: Annotated[int, typer.Option(min=2, help="the number of synthetic clinics of each size")] = 10,
    cases: Annotated[list[int] | None, typer.Option(min=200, help="train pictures of one size; repeatable")] = None,
    test: Annotated[int, typer.Option(min=200, help="pictures of other patients per clinic")] = 8000,
    networks: Annotated[list[str] | None, typer.Option(help="weak, equal, strong or complete; repeatable")] = None,
    out: Out = None,
) -> None:
    """Draw clinics with a known risk; compare on new patients what two rules submit from one cross-validation."""
    from benchmarks.stacking.choice import KINDS, NOISES, choice_study, quick_recipe
    from benchmarks.stacking.study import check_out, report
    from runtime.errors import InputFault, did_you_mean

    check_out(out)
    for kind in networks or ():
        if kind not in KINDS:
            raise InputFault(f"--networks {kind!r} is unknown; {did_you_mean(kind, list(KINDS))}")
    kinds = networks or list(NOISES)
    report(choice_study(quick_recipe(), cases or [300, 1000, 3000], cohorts, test=test, kinds=kinds), out)


@app.command()
@expand_groups
def leak(
    run_options: RunOptions,
    recipe_options: RecipeOptions,
    strength: Annotated[list[float] | None, typer.Option(help="AUC of the planted column alone; repeatable")] = None,
    out: Out = None,
) -> None:
    """Add a column that leaks the target to a run's metadata; the ablation must name that column."""
    from benchmarks.stacking.leak import leak_study
    from benchmarks.stacking.study import check_out, report

    check_out(out)
    design, settings = _design_of(run_options.folder, recipe_options.file)
    report(leak_study(design, settings, strength or [0.8, 0.9, 0.95, 0.99]), out)


@app.command()
@expand_groups
def columns(run_options: RunOptions, recipe_options: RecipeOptions, out: Out = None) -> None:
    """Add components of the networks' embeddings, or statistics of their views, to the columns of a run's stack."""
    from benchmarks.stacking.columns import columns_study
    from benchmarks.stacking.study import check_out, report

    check_out(out)
    design, settings = _design_of(run_options.folder, recipe_options.file)
    report(columns_study(Run(run_options.folder), design, settings), out)


@app.command()
@expand_groups
def labels(
    run_options: RunOptions,
    recipe_options: RecipeOptions,
    share: Annotated[float, typer.Option(min=0.001, max=0.2, help="share of the labels that are inverted")] = 0.03,
    seeds: Annotated[int, typer.Option(min=1, help="the number of random sets of labels")] = 5,
    out: Out = None,
) -> None:
    """Invert some labels of a finished run at random; `melstack next` must list them among its first candidates."""
    from benchmarks.stacking.labels import label_study
    from benchmarks.stacking.study import check_out, report

    check_out(out)
    report(label_study(Run(run_options.folder), recipe_options.file.stem, share, range(seeds)), out)


@app.command()
@expand_groups
def growth(
    run_options: RunOptions,
    recipe_options: RecipeOptions,
    rows: Annotated[list[int] | None, typer.Option(min=100, help="train rows of one size; repeatable")] = None,
    out: Out = None,
) -> None:
    """Measure time and memory of level two on tables of several sizes, drawn from a run's patients with replacement."""
    from benchmarks.stacking.growth import growth_study
    from benchmarks.stacking.study import check_out, report

    check_out(out)
    report(growth_study(run_options.folder, recipe_options.file, rows or [33_126, 100_000, 401_059]), out)


@app.command()
@expand_groups
def memory(
    run_options: RunOptions,
    recipe_options: RecipeOptions,
    foreign: Annotated[Path | None, typer.Option(help="<network>/oof.csv and test.csv of other networks")] = None,
    out: Out = None,
) -> None:
    """Measure time and memory of every command from the tables to the report, including all its processes."""
    from benchmarks.stacking.memory import memory_study
    from benchmarks.stacking.study import check_out, report
    from runtime.errors import InputFault

    check_out(out)
    study = memory_study(run_options.folder, run_options.data_folder, foreign, recipe_options.recipe)
    report(study, out)
    if study.figures["exit_code"]:
        raise InputFault(f"the last command ended with exit code {study.figures['exit_code']}")


@app.command()
def thresholds(
    clinics: Annotated[int, typer.Option(min=2, help="the number of drawn clinics of each size")] = 400,
    cases: Annotated[list[int] | None, typer.Option(min=200, help="pictures of one size; repeatable")] = None,
    processes: Annotated[int, typer.Option(min=1, help="clinics at the same time")] = 2,
    out: Out = None,
) -> None:
    """Draw clinics' scores, freeze thresholds, and compare what they reach on new patients with their aims."""
    from benchmarks.stacking.study import check_out, report
    from benchmarks.stacking.thresholds import threshold_study

    check_out(out)
    report(threshold_study(range(clinics), cases or [300, 1000, 4000], processes=processes), out)


@app.command()
def coverage(
    cohorts: Annotated[int, typer.Option(min=2, help="the number of drawn cohorts of each size")] = 200,
    cases: Annotated[list[int] | None, typer.Option(min=200, help="pictures of one size; repeatable")] = None,
    processes: Annotated[int, typer.Option(min=1, help="cohorts at the same time")] = 2,
    out: Out = None,
) -> None:
    """Draw cohorts, validate a frozen model on each, and count how often the intervals hold the truth."""
    from benchmarks.stacking.coverage import coverage_study
    from benchmarks.stacking.study import check_out, report

    check_out(out)
    report(coverage_study(range(cohorts), cases or [400, 1600], processes), out)


@app.command()
def draw_table(
    folder: Path,
    rows: Annotated[int, typer.Option(min=1000)] = 2_000_000,
    columns: Annotated[int, typer.Option(min=2)] = 60,
    files: Annotated[int, typer.Option(min=1)] = 4,
    seed: int = 0,
) -> None:
    """Draw a table of any size into Parquet files, to measure `make spread` on it."""
    from benchmarks.stacking import drawn_table

    drawn_table.draw_table(folder, rows, columns, files, seed)


def _design_of(run: Path, recipe: Path) -> "tuple[Design, Recipe]":
    """Return the design that the command `stack` makes of the run folder ``run``, and the recipe."""
    from features.compute_blocks import compute_blocks
    from level2_stack.recipe import read_recipe
    from level2_stack.stacking import design_of_run, read_predictions

    folder, settings = Run(run), read_recipe(recipe)
    compute_blocks(folder)
    design, _ = design_of_run(folder, settings, folder.read_cases(), read_predictions(folder))
    return design, settings


if __name__ == "__main__":
    run_app(app, "python -m benchmarks.stacking")
