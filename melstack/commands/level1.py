"""Commands of level one: train the networks, and look at how they are trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from level1_cnn.hardware.gpu_nodes import check_gpus
from melstack.option_groups import expand_groups
from melstack.option_types import check_devices, setting
from melstack.options import (
    CLOSER,
    DAILY,
    CasesOptions,
    ClusterAddress,
    ModelOptions,
    NetworkOptions,
    RunOptions,
    model_name,
    split_names,
)
from melstack.steps.cases import freeze
from melstack.steps.training import has_pictures, prepare, train_run
from runtime.errors import InputFault, did_you_mean
from runtime.invocation import option
from runtime.progress import say

if TYPE_CHECKING:
    from level1_cnn.experiment import Experiment
    from runtime.run_folder import Run

app = typer.Typer()
Devices = Annotated[str, setting("auto, cpu, gpu:0, tpu", "NAME", callback=check_devices)]


@app.command(rich_help_panel=DAILY, epilog="Example: melstack oof --data mydata --profile gpu --devices mirrored")
@expand_groups
def oof(source: CasesOptions, networks: NetworkOptions, cluster: ClusterAddress = None) -> None:
    """Level one: train every network of a profile fold by fold; out-of-fold and test predictions."""
    with source.lock(create=True):
        run = train_run(source, networks, cluster)
        from melstack.closing.short_ends import print_networks

        print_networks(run)


@app.command(rich_help_panel=CLOSER, epilog="Example: melstack views --data mydata")
@expand_groups
def views(
    run_options: RunOptions, models: Annotated[list[str] | None, setting("only these", "NAME", "all")] = None
) -> None:
    """Print what every test-time view of the trained networks contributes."""
    from level1_cnn.inspect.view_contributions import print_view_contributions
    from runtime.run_folder import Run

    run = Run(run_options.folder)
    run.facts()
    names = [model_name(name) for name in split_names(models)]
    for name in names:
        if name not in run.networks():
            raise InputFault(f"{run.folder}: network {name!r} is not finished; {did_you_mean(name, run.networks())}")
    for name in names or run.networks():
        print_view_contributions(run, name)


@app.command("augment-sheet", rich_help_panel=CLOSER, epilog="Example: melstack augment-sheet --model lite0_128")
@expand_groups
def augment_sheet(source: CasesOptions, model: ModelOptions) -> None:
    """Draw a model's augmentations on pictures of the run: one PNG."""
    name, experiment = _experiment_of(model)
    with source.lock(create=True):
        run = _freeze_pictures(source)
        prepare(run, {name: experiment})
        from level1_cnn.inspect.augmentation_sheet import draw_sheet

        say(str(draw_sheet(run, experiment)))


@app.command("lr-find", rich_help_panel=CLOSER, epilog="Example: melstack lr-find --model lite0_128")
@expand_groups
def lr_find(
    source: CasesOptions,
    model: ModelOptions,
    devices: Devices = "auto",
    fold: Annotated[int, setting("the fold that is left out", "N", min=0)] = 0,
) -> None:
    """Test a range of learning rates on the training rows of one fold, and plot the loss over the rate."""
    name, experiment = _experiment_of(model)
    check_gpus(devices)
    if experiment.training.method == "frozen":
        raise InputFault(f"{name}: method = 'frozen' has no learning rate; a model with method = 'finetune' is needed")
    _check_fold(fold, source, option("fold", fold))
    with source.lock(create=True):
        run = _freeze_pictures(source)
        _check_fold_of_cases(fold, run, option("fold", fold))
        prepare(run, {name: experiment})
        from level1_cnn.finished import make_job
        from level1_cnn.inspect.learning_rate import find_rate

        find_rate(make_job(run, name, experiment, devices, False), fold=fold)


@app.command(rich_help_panel=CLOSER, epilog="Example: melstack tune --model lite0_128 --search finetune")
@expand_groups
def tune(
    source: CasesOptions,
    model: ModelOptions,
    search: Annotated[
        str, setting("a name in level1_cnn/configs/search, or a TOML file of ranges", "NAME")
    ] = "finetune",
    devices: Devices = "auto",
) -> None:
    """Search a model's settings within ranges, on training folds alone; write the best as a TOML file."""
    from level1_cnn.tuning.search_space import check_model, read_search

    name, experiment = _experiment_of(model)
    check_gpus(devices)
    space = read_search(search)
    check_model(name, experiment, space, search)
    _check_fold(space.fold, source, f"{search}: fold = {space.fold}")
    with source.lock(create=True):
        run = _freeze_pictures(source)
        _check_fold_of_cases(space.fold, run, f"{search}: fold = {space.fold}")
        prepare(run, {name: experiment})
        from level1_cnn.finished import make_job
        from level1_cnn.tuning.search import tune_model

        tune_model(make_job(run, name, experiment, devices, False), search)


def _experiment_of(options: ModelOptions) -> tuple[str, Experiment]:
    from level1_cnn.experiment import find_experiments

    ((name, experiment),) = find_experiments(options.profile, [options.model]).items()
    return name, experiment


def _check_fold(fold: int, source: CasesOptions, where: str) -> None:
    if fold >= source.folds:
        raise InputFault(f"{where}: the run has the folds 0 to {source.folds - 1}")


def _check_fold_of_cases(fold: int, run: Run, where: str) -> None:
    """Raise InputFault if the column that makes the folds has given fewer folds."""
    if fold > (last := int(run.read_cases()["fold"].max())):
        raise InputFault(f"{where}: the run has the folds 0 to {last}")


def _freeze_pictures(source: CasesOptions) -> Run:
    run = freeze(source)
    if not has_pictures(run):
        raise InputFault(f"{run.folder}: the cases have no pictures, so a network cannot be trained")
    return run
