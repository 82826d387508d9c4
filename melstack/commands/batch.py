"""Commands for clusters with a queue: write the scripts of a run for SLURM, and do one part of level one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from melstack.option_groups import expand_groups
from melstack.option_types import setting
from melstack.options import MAINTAINING, CasesOptions, NetworkOptions, StackOptions
from runtime.errors import InputFault
from runtime.invocation import command, option
from runtime.progress import say

app = typer.Typer()


@app.command(rich_help_panel=MAINTAINING, epilog="Example: melstack sbatch --data mydata --profile gpu")
@expand_groups
def sbatch(
    source: CasesOptions,
    networks: NetworkOptions,
    options: StackOptions,
    queue: Annotated[Path, setting("TOML that says what a job is given", "FILE")] = Path("cluster.toml"),
    last: Annotated[Literal["oof", "stack", "submission"], setting("the command that ends the run")] = "submission",
) -> None:
    """Write the scripts of a run for SLURM: a job array over (model, fold), then the rest; limits from `plan`."""
    from runtime.cluster.queue_settings import read_queue_settings

    settings = read_queue_settings(queue)
    if settings.scheduler != "slurm":
        raise InputFault(f"{queue}: scheduler = {settings.scheduler!r}: job arrays are written for slurm alone")
    from level1_cnn.experiment import training_groups
    from melstack.batch.scripts import BatchPlan, write_scripts
    from melstack.steps.stacking import check_stack_options
    from melstack.steps.training import check_networks, experiments_of
    from runtime.forecasts import read_forecasts
    from runtime.run_folder import Run

    check_stack_options(options, source)
    others = check_networks(source, networks, options.foreign)
    with source.lock(create=True):
        run = Run(source.folder.resolve())
        experiments = experiments_of(run, networks, others)
        folds = int(run.read_cases()["fold"].max()) + 1 if run.cases_mark.is_file() else source.folds
        if source.memory is not None:
            source.memory.save()  # the jobs name the run, and read its settings
        forecasts = {part.name: part for part in read_forecasts(run, "one") if part.seconds}
        plan = BatchPlan(run.folder, settings, forecasts)
        script = write_scripts(plan, plan.batches(list(training_groups(experiments)), folds, last))
        unknown = [name for name in experiments if name not in forecasts]
        if unknown:
            remedy = f"{command('plan')} forecasts them"
            say(f"without a forecast: {', '.join(unknown)}; their jobs ask for all that {queue} has; {remedy}")
        say(f"{len(experiments)} model(s), {folds} folds: submit all jobs with `bash {script}`")


@app.command(rich_help_panel=MAINTAINING, epilog="Example: melstack part --run runs/mydata --model b4_512 --fold 0")
@expand_groups
def part(
    source: CasesOptions,
    networks: NetworkOptions,
    options: StackOptions,
    model: Annotated[str | None, setting("a model of the run", "NAME", "none: the preparation")] = None,
    fold: Annotated[int | None, setting("one of its folds", "N", "none: what its folds share", min=0)] = None,
) -> None:
    """Do one part of level one, beside others: the preparation, what a model's folds share, or one fold."""
    from melstack.batch.parts import do_part, prepare_parts

    if model is None and fold is not None:
        raise InputFault(f"{option('fold', fold)} has no effect without {option('model', 'name')}")
    if model is None:
        prepare_parts(source, networks, options)
    else:
        do_part(source, networks, options, model, fold)
