"""The command that forecasts both levels before anything is trained."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

import typer

from melstack.option_groups import expand_groups
from melstack.options import DAILY, CasesOptions, FreeOptions, NetworkOptions, StackOptions, model_name, split_names
from melstack.steps.cases import freeze
from melstack.steps.stacking import check_stack_options
from melstack.steps.training import check_external, check_networks, experiments_of, has_pictures

if TYPE_CHECKING:
    from runtime.machine.resources import Machine
    from runtime.run_folder import Run

app = typer.Typer()


@app.command(rich_help_panel=DAILY, epilog="Example: melstack plan --data mydata --profile gpu --free-gpu 24")
@expand_groups
def plan(source: CasesOptions, networks: NetworkOptions, stack: StackOptions, free: FreeOptions) -> None:
    """Forecast hours, disk and memory of both levels from a few measured steps; refuse what cannot fit."""
    from level2_stack.foreign.bring import check_import

    check_stack_options(stack, source)
    others = check_networks(source, networks, stack.foreign)
    with source.lock(create=True):
        # A forecast may be for another machine: only the settings of the cases are those of the run from now on.
        run = freeze(source, [field.name for field in fields(source)])
        if stack.foreign is not None:
            check_import(run, stack.foreign, split_names(stack.trust))
        machine = _machine(run, free)
        plan_networks(run, networks, machine, others)
        plan_level2(run, stack, machine, split_names(networks.models))


def plan_networks(run: Run, networks: NetworkOptions, machine: Machine, others: Collection[str] = ()) -> None:
    """Print the forecast of the networks that are not finished."""
    from level1_cnn.finished import forecast_job, unfinished_models
    from level1_cnn.hardware.import_tensorflow import import_tensorflow

    experiments = experiments_of(run, networks, others) if has_pictures(run) else {}
    pending = unfinished_models(run, experiments)
    check_external(run, pending)
    jobs = [
        forecast_job(run, name, experiment, experiments, networks.devices, networks.deterministic)
        for name, experiment in pending.items()
    ]
    import_tensorflow()
    from level1_cnn.forecast.models import plan_models

    plan_models(run, experiments, jobs, machine)


def plan_level2(run: Run, options: StackOptions, machine: Machine, models: Sequence[str] = ()) -> None:
    """Print the forecast of the stack, with level one's forecast before it."""
    from level2_stack.finished import OUTPUTS, stack_ingredients
    from level2_stack.forecast.stack import plan_stack
    from level2_stack.foreign.bring import networks_in
    from level2_stack.networks_to_stack import networks_to_stack
    from runtime.provenance import is_fresh

    file, names = options.file, networks_in(options.foreign, run) if options.foreign is not None else []
    networks = networks_to_stack(run, {model_name(model) for model in models}, has_foreign=bool(names))
    made_from, folder = stack_ingredients(run, file, options.prevalence, networks), run.level2 / file.stem
    fresh = is_fresh(folder / "run.json", made_from, [folder / name for name in OUTPUTS])
    fresh = fresh and set(names) <= set(run.networks())
    plan_stack(run, file, names, machine, fresh=fresh, networks=networks)


def _machine(run: Run, free: FreeOptions) -> Machine:
    from runtime.machine.resources import GIGABYTE, this_machine

    disk, memory, gpu = (
        None if size is None else round(size * GIGABYTE) for size in (free.free_disk, free.free_memory, free.free_gpu)
    )
    return this_machine(run.folder, disk=disk, memory=memory, gpu=gpu)
