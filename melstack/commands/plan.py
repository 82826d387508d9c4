"""The command that forecasts both levels before anything is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from melstack.commands.data import freeze
from melstack.commands.level1 import check_external, check_networks, has_pictures
from melstack.commands.level2 import check_stack_options
from melstack.options import DAILY, CasesOptions, FreeOptions, NetworkOptions, StackOptions, expand_groups, split_names

if TYPE_CHECKING:
    from runtime.machine import Machine
    from runtime.run_folder import Run

app = typer.Typer()


@app.command(rich_help_panel=DAILY, epilog="Example: melstack plan --data mydata --profile gpu --free-gpu 24")
@expand_groups
def plan(source: CasesOptions, networks: NetworkOptions, stack: StackOptions, free: FreeOptions) -> None:
    """Forecast hours, disk and memory of both levels from a few measured steps; refuse what cannot fit."""
    check_networks(networks)
    check_stack_options(stack)
    with source.lock(create=True):
        run = freeze(source)
        machine = _machine(run, free)
        plan_networks(run, networks, machine)
        plan_level2(run, stack, machine)


def plan_networks(run: Run, networks: NetworkOptions, machine: Machine) -> None:
    """Print the forecast of the networks that are not finished."""
    from level1_cnn.experiment import find_experiments
    from level1_cnn.finished import forecast_job, unfinished_models
    from level1_cnn.hardware.import_tensorflow import import_tensorflow

    experiments = find_experiments(networks.profile, split_names(networks.models)) if has_pictures(run) else {}
    pending = unfinished_models(run, experiments)
    check_external(run, pending)
    jobs = [
        forecast_job(run, name, experiment, experiments, networks.devices, networks.deterministic)
        for name, experiment in pending.items()
    ]
    import_tensorflow()
    from level1_cnn.forecast.models import plan_models

    plan_models(run, experiments, jobs, machine)


def plan_level2(run: Run, options: StackOptions, machine: Machine) -> None:
    """Print the forecast of the stack, with level one's forecast before it."""
    from level2_stack.finished import OUTPUTS, stack_ingredients
    from level2_stack.forecast.stack import plan_stack
    from level2_stack.foreign.bring import networks_in
    from runtime.provenance import is_fresh

    file, names = options.file, networks_in(options.foreign) if options.foreign is not None else []
    made_from, folder = stack_ingredients(run, file, options.prevalence), run.level2 / options.file.stem
    fresh = is_fresh(folder / "run.json", made_from, [folder / name for name in OUTPUTS])
    plan_stack(run, file, names, machine, fresh=fresh and set(names) <= set(run.networks()))


def _machine(run: Run, free: FreeOptions) -> Machine:
    from runtime.machine import GIGABYTE, this_machine

    disk, memory, gpu = (
        None if size is None else round(size * GIGABYTE) for size in (free.free_disk, free.free_memory, free.free_gpu)
    )
    return this_machine(run.folder, disk=disk, memory=memory, gpu=gpu)
