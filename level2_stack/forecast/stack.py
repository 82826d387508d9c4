"""Forecast level two: time one fit of each kind on the run's own rows, and multiply by the number of fits."""

import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from features import blocks
from level2_stack import learners
from level2_stack.crossval import ablation
from level2_stack.crossval.fits import Table, Task, build_table, choose_processes, fit_task, worker_bytes
from level2_stack.crossval.nested import list_tasks
from level2_stack.design import shift
from level2_stack.design.assemble import Design
from level2_stack.forecast.design import expected_design
from level2_stack.learner_contract import STAGES
from level2_stack.recipe import Recipe, read_recipe
from runtime.errors import InputFault
from runtime.forecasts import (
    Forecast,
    Span,
    check_resources,
    print_forecasts,
    print_total,
    read_forecasts,
    write_forecasts,
)
from runtime.invocation import command, option
from runtime.machine.memory import format_bytes
from runtime.machine.resources import Machine
from runtime.progress import say
from runtime.run_folder import Run
from runtime.tables import write_table

# The time of a fit while another process works, relative to a fit alone: processes share caches and memory.
SIDE_BY_SIDE = Span(low=1.0, high=1.5)
# The time of a fit without a family of columns, relative to one with all columns.
FEWER_COLUMNS = Span(low=0.6, high=1.1)
# Seconds of blending, calibrating, choosing, the leaderboard and the tables: a line through the growth study at 1,000,
# 3,300, 10,000 and 33,126 rows (1.9, 2.5, 2.6 and 6.5 s on two cores); another machine's time is in this range of it.
REST, REST_PER_ROW, REST_RANGE = 1.9, 1.4e-4, (0.6, 1.8)
STARTS = Span(low=3.0, high=8.0)  # seconds to start the program and its worker processes
WARM_UP_ROWS = 400  # of a first fit, which imports the library and is not timed
MODEL_BYTES = 130_000  # a booster in the bundle
SAMPLE_ROWS = 5000  # written to measure the bytes per row
PROGRAM = 330 << 20  # bytes of memory of the main process
SCORE_BYTES = 4  # a score in memory; there is one per stage, fold and row


def plan_stack(
    run: Run,
    recipe_file: Path,
    foreign: Sequence[str],
    machine: Machine,
    *,
    fresh: bool = False,
    networks: Sequence[str] | None = None,
) -> None:
    """Forecast a recipe over ``run``; print the forecast and write it to plan.json, beside the forecast of level one.

    ``fresh`` says that the finished stack is up to date. ``networks`` are the only finished networks of the run that
    the stack may use; None: all. Raises InputFault if the work needs more memory or disk than
    ``machine`` has, or if there will be no network to stack.
    """
    level_one = read_forecasts(run, "one")
    recipe = read_recipe(recipe_file)
    name = recipe_file.stem
    if fresh and all(each.time.high == 0 for each in level_one):
        part = Forecast(level="two", name=name, how="fresh: nothing is left to do")
    else:
        new_networks = [each.name for each in level_one if each.name != "decoding"]
        pool = {*new_networks, *foreign, *(run.networks() if networks is None else networks)}
        recipe = recipe.model_copy(update={"networks": recipe.select_networks(sorted(pool))} if pool else {})
        part = forecast_stack(run, name, recipe, new_networks, foreign, machine)
    parts = [*level_one, part]
    write_forecasts(run, parts, machine)
    print_forecasts([part], "level two, forecast")
    print_total(parts, machine)
    check_resources(run, parts, machine)


def forecast_stack(
    run: Run, name: str, recipe: Recipe, new_networks: Sequence[str], foreign: Sequence[str], machine: Machine
) -> Forecast:
    """Return the forecast of stacking the ``new_networks``, the ``foreign`` networks and those of the run.

    Raises InputFault if all three are empty.
    """
    if not [*new_networks, *foreign, *run.networks()]:
        raise InputFault(
            f"{run.folder}: the stack will have no network; {command('oof')} trains networks on the pictures, "
            f"{option('foreign', 'folder')} imports predictions of other networks"
        )
    say(f"plan: {name}: timing one fit of each kind")
    start = time.perf_counter()
    design = expected_design(run, recipe, new_networks, foreign)
    run_shift_check(design)
    preparation = time.perf_counter() - start
    table, tasks = build_table(design), list_tasks(design, recipe)
    fit_seconds = _time_fits(tasks, table)
    workers = choose_processes(len(tasks), table)
    stacking = (
        STARTS
        + Span(low=0.8 * preparation, high=1.3 * preparation)
        + _seconds(tasks, fit_seconds, workers)
        + _ablation_seconds(design, recipe, fit_seconds, workers)
        + Span(low=REST_RANGE[0], high=REST_RANGE[1]).times(REST + REST_PER_ROW * len(design.X))
    )
    bundle_fits = [task for task in tasks if len(task.excluded_folds) == 1 and task.learner in recipe.blend]
    memory = _memory(design, recipe, table, workers)
    trials = recipe.tuning.trials
    how = f"{len(fit_seconds)} of {len(tasks)} fits timed on {len(design.y)} rows and {design.X.shape[1]} columns"
    return Forecast(
        level="two",
        name=name,
        seconds={"stacking": stacking, "bundle": STARTS + _seconds(bundle_fits, fit_seconds, workers)},
        disk=_disk(design, recipe),
        memory=memory,
        how=f"{how}, {workers} process(es)" + ("; the trials of tuning are NOT included" if trials else ""),
        refused=_refusal(memory, machine) if memory > machine.memory else None,
    )


def run_shift_check(design: Design) -> None:
    """Separate test from train rows as a stack does, whose time is part of the forecast; the result is not used."""
    groups = np.concatenate([design.groups, np.arange(len(design.test)).astype(object)])
    acquisition = {name: blocks.find(name).ACQUISITION for name in blocks.names()}
    sets = shift.column_families(design.X.columns, acquisition)
    shift.adversarial_validation(design.X, np.arange(len(design.X)) >= len(design.y), groups, sets)


def _time_fits(tasks: Sequence[Task], table: Table) -> dict[tuple[str, int], float]:
    """Return (learner, number of folds left out) -> seconds of one such fit, after a small fit that is not timed."""
    seconds: dict[tuple[str, int], float] = {}
    for task in tasks:
        kind = (task.learner, len(task.excluded_folds))
        if kind in seconds:
            continue
        if not any(learner == task.learner for learner, _ in seconds):
            fit_task(task, _sample(table))
        start = time.perf_counter()
        fit_task(task, table)
        seconds[kind] = time.perf_counter() - start
    return seconds


def _sample(table: Table) -> Table:
    """Return up to ``WARM_UP_ROWS`` random rows of each class."""
    order = np.random.default_rng(0).permutation(len(table.y))
    rows = np.sort(np.concatenate([order[table.y[order] == value][:WARM_UP_ROWS] for value in (0, 1)]))
    return Table(table.X.iloc[rows].reset_index(drop=True), table.y[rows], table.folds[rows], table.groups[rows])


def _seconds(tasks: Sequence[Task], fit_seconds: dict[tuple[str, int], float], workers: int) -> Span:
    alone = sum(fit_seconds[task.learner, len(task.excluded_folds)] for task in tasks)
    return Span(low=alone / workers, high=alone / workers * (SIDE_BY_SIDE.high if workers > 1 else 1.2))


def _ablation_seconds(design: Design, recipe: Recipe, fit_seconds: dict[tuple[str, int], float], workers: int) -> Span:
    learner = ablation.leading_booster(recipe)
    if not recipe.ablation or learner is None:
        return Span()
    fits = len(ablation.list_parts(design)) * len(np.unique(design.folds)) / workers
    return Span(low=FEWER_COLUMNS.low, high=FEWER_COLUMNS.high).times(fits * fit_seconds[learner, 1])


def _memory(design: Design, recipe: Recipe, table: Table, workers: int) -> int:
    """Return the bytes of memory of all processes: a table in each, and all scores in the main one."""
    table_bytes = int(design.X.memory_usage(deep=False).sum())
    folds = len(np.unique(design.folds))
    stages = sum(len(STAGES) for name in recipe.learners if learners.find(name).USES_SEED)
    scores = len(design.X) * (stages + len(recipe.learners)) * (folds + 1) * SCORE_BYTES
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    others = workers * worker_bytes(design.X) if workers > 1 else 0
    return max(PROGRAM + 3 * table_bytes, peak) + 2 * scores + others


def _disk(design: Design, recipe: Recipe) -> dict[str, int]:
    rows = len(design.X)
    of_blocks = [name for name in design.X.columns if name.split(".")[0] in blocks.names()]
    return {
        "features": _table_bytes(design.X[of_blocks]),
        "tables": rows * (2 * len(recipe.learners) + 10) * 8,
        "bundle": sum(recipe.seeds for _ in recipe.blend) * len(np.unique(design.folds)) * MODEL_BYTES,
    }


def _table_bytes(table: pd.DataFrame) -> int:
    """Return the bytes of ``table`` on disk, estimated from a sample of its rows."""
    sample = table.iloc[:: max(1, len(table) // SAMPLE_ROWS)]
    with tempfile.TemporaryDirectory() as folder:
        write_table(Path(folder) / "sample.parquet", sample)
        size = (Path(folder) / "sample.parquet").stat().st_size
    return round(size * len(table) / max(1, len(sample)))


def _refusal(memory: int, machine: Machine) -> str:
    return (
        f"needs {format_bytes(memory)} of memory, and {format_bytes(machine.memory)} are available; use a recipe with "
        "fewer learners, contrasts or networks"
    )
