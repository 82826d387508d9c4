"""Commands of level two: stack a run's predictions, write its submission, explain and report it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from melstack.option_groups import expand_groups
from melstack.option_types import check_address, setting
from melstack.options import (
    CLOSER,
    DAILY,
    MAINTAINING,
    CasesOptions,
    ClusterAddress,
    NetworkOptions,
    RecipeOptions,
    RunOptions,
    StackOptions,
    split_names,
)
from melstack.steps.stacking import cross_validate, run_with_stack, stack_run, write_submission
from melstack.steps.training import train_run
from runtime.progress import say

app = typer.Typer()


@app.command(rich_help_panel=CLOSER, epilog="Example: melstack features --data mydata")
@expand_groups
def features(source: CasesOptions, networks: NetworkOptions, cluster: ClusterAddress = None) -> None:
    """Compute the feature blocks, each from the cases without their target and fold, after level one."""
    with source.lock(create=True):
        run = train_run(source, networks, cluster)
        from features.compute_blocks import compute_blocks

        compute_blocks(run)


@app.command(rich_help_panel=DAILY, epilog="Example: melstack stack --data mydata --foreign predictions")
@expand_groups
def stack(
    source: CasesOptions, networks: NetworkOptions, options: StackOptions, cluster: ClusterAddress = None
) -> None:
    """Level two, after level one: cross-validate every learner of a recipe; print and write the leaderboard."""
    with source.lock(create=True):
        run = stack_run(source, networks, options, cluster)
        from melstack.all_findings import refuse_stack
        from melstack.closing.stack_end import print_end

        print_end(run, options.file.stem, ())
        refuse_stack(run, options.file.stem)


@app.command(rich_help_panel=DAILY, epilog="Example: melstack submission --data mydata --profile gpu")
@expand_groups
def submission(
    source: CasesOptions, networks: NetworkOptions, options: StackOptions, cluster: ClusterAddress = None
) -> None:
    """The main job, from nothing to the end: both levels, the CSV of test probabilities, and the bundle."""
    with source.lock(create=True):
        run = stack_run(source, networks, options, cluster)
        from melstack.all_findings import refuse_stack
        from melstack.bundle.writing import make_bundle

        refuse_stack(run, options.file.stem)
        write_submission(run, options.file)
        make_bundle(run.folder, options.recipe, run.folder / "bundle", cluster)
        from melstack.closing.stack_end import print_end

        print_end(run, options.file.stem, (run.submission, run.folder / "bundle"))


@app.command(rich_help_panel=CLOSER, epilog="Example: melstack bundle --data mydata --slim 0.005")
@expand_groups
def bundle(
    source: CasesOptions,
    networks: NetworkOptions,
    options: StackOptions,
    slim: Annotated[
        float | None,
        setting("also write bundle_slim: the fewest networks within this loss of AUC", "AUC", "no", min=0, max=0.5),
    ] = None,
    cluster: ClusterAddress = None,
) -> None:
    """Write the bundle, which predicts new cases without TensorFlow; `submission` writes it too."""
    with source.lock(create=True):
        run = stack_run(source, networks, options, cluster)
        from melstack.all_findings import refuse_stack
        from melstack.bundle.writing import make_bundle

        refuse_stack(run, options.file.stem)
        make_bundle(run.folder, options.recipe, run.folder / "bundle", cluster)
        if slim is None:
            return
        from level2_stack.slim.recipe import make_slim_recipe

        recipe = run.folder / "slim" / f"{options.file.stem}_slim.toml"
        make_slim_recipe(run, options.file, slim, recipe)
        slim_options = StackOptions(str(recipe), options.foreign, options.trust, options.prevalence)
        cross_validate(run, slim_options, models=split_names(networks.models))
        make_bundle(run.folder, str(recipe), run.folder / "bundle_slim", cluster)


@app.command(rich_help_panel=CLOSER, epilog="Example: melstack distil --data mydata --model lite0_96_frozen")
@expand_groups
def distil(
    run_options: RunOptions,
    options: RecipeOptions,
    model: Annotated[
        str | None, setting("the frozen network of the run that learns from the stack", "NAME", "the stack's best")
    ] = None,
) -> None:
    """Fit one frozen network to what a finished stack says: one ONNX file, and its loss of AUC on held-out folds."""
    with run_options.lock():
        run = run_with_stack(run_options, options, " to learn from")
        from level1_cnn.hardware.import_tensorflow import import_tensorflow

        import_tensorflow()
        from melstack.distillation.student import distil_stack

        say(f"student: {distil_stack(run, options.file.stem, model)}")


@app.command(
    rich_help_panel=MAINTAINING,
    epilog="Example: melstack spread --table parquet --cluster tcp://host:8786 --out spread",
)
@expand_groups
def spread(
    options: RecipeOptions,
    table: Annotated[str, setting("folder or URL of Parquet files: ids, folds, targets and features", "FOLDER")],
    cluster: Annotated[
        str, setting("Dask scheduler whose workers read the table: tcp://host:8786", "ADDRESS", callback=check_address)
    ],
    out: Annotated[Path, setting("folder of the scores", "FOLDER")],
) -> None:
    """Cross-validate the boosters of a recipe over a table larger than one machine: Dask workers read it."""
    from level2_stack.recipe import read_recipe
    from level2_stack.spread.evaluate import Spread, make_spread, spread_learners
    from level2_stack.spread.table import open_table
    from runtime.folder_lock import lock_folder
    from runtime.provenance import is_fresh, write_mark

    params = spread_learners(read_recipe(options.file), options.file.name)
    with lock_folder(out):
        job = Spread(open_table(table), params, out)
        made_from, mark = job.made_from(), out / "spread.json"
        if is_fresh(mark, made_from, job.outputs()):
            say(f"spread: fresh, {out}")
            return
        make_spread(job, cluster)
        write_mark(mark, made_from, job.outputs(), recipe=options.recipe)


@app.command(rich_help_panel=MAINTAINING, epilog="Example: melstack design --data mydata --out parquet --parts 4")
@expand_groups
def design(
    run_options: RunOptions,
    options: RecipeOptions,
    out: Annotated[Path, setting("folder of the files", "FOLDER")],
    parts: Annotated[int, setting("number of files", "N", min=1)] = 4,
) -> None:
    """Write the design matrix of a finished stack as Parquet files that `spread` reads."""
    from level2_stack.spread.write_design import write_design
    from runtime.folder_lock import lock_folder

    with run_options.lock(), lock_folder(out):
        run = run_with_stack(run_options, options)
        size = write_design(run, run.level2 / options.file.stem, parts, out)
        say(f"design: {size} in {parts} files, {out}")
