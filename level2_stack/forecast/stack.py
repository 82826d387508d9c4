"""Level two's forecast: one fit of each kind measured on the run's own rows, times how many there will be."""

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
from level2_stack.crossval.fits import Table, Task, fitted, table_of, worth_processes
from level2_stack.crossval.nested import tasks_of_nesting
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
    format_bytes,
    print_forecasts,
    print_total,
    read_forecasts,
    write_forecasts,
)
from runtime.machine import Machine
from runtime.progress import say
from runtime.run_folder import Run
from runtime.tables import write_table

# Two processes side by side each take longer than one alone: they share caches and memory.
SIDE_BY_SIDE = Span(low=1.0, high=1.5)
# What fits cost that leave out a family of columns, as a share of one with all columns.
FEWER_COLUMNS = Span(low=0.6, high=1.1)
# Seconds of blending, calibrating, choosing, the leaderboard and the tables: a line through the growth study at 1,000,
# 3,300, 10,000 and 33,126 rows (1.9, 2.5, 2.6 and 6.5 s on two cores), and how far another machine may be from it.
REST, REST_PER_ROW, REST_RANGE = 1.9, 1.4e-4, (0.6, 1.8)
STARTS = Span(low=3.0, high=8.0)  # of the programs and worker processes
WARMING_ROWS = 400  # of a first fit, which imports the library and is not counted
MODEL_BYTES = 130_000  # of a booster in the bundle
SOME_ROWS = 5000
WORKER = 250 << 20  # of a process with the libraries of the learners
PROGRAM = 330 << 20
MARGIN_BYTES = 4  # of a score that is kept: of every stage, fold and row


def plan_stack(run: Run, recipe_file: Path, foreign: Sequence[str], machine: Machine, *, fresh: bool = False) -> None:
    """Forecast a recipe over ``run``: print it, and with level one's forecast write it to plan.json.

    Raises InputFault where ``machine`` cannot hold all of it, or where there will be no network to stack.
    """
    before = read_forecasts(run, "one")
    recipe = read_recipe(recipe_file)
    name = recipe_file.stem
    part = (
        Forecast(level="two", name=name, how="fresh: nothing is left to do")
        if fresh and all(each.time.high == 0 for each in before)
        else forecast_stack(
            run, name, recipe, [each.name for each in before if each.name != "decoding"], foreign, machine
        )
    )
    parts = [*before, part]
    write_forecasts(run, parts, machine)
    print_forecasts([part], "level two, forecast")
    print_total(parts, machine)
    check_resources(run, parts, machine)


def forecast_stack(
    run: Run, name: str, recipe: Recipe, planned: Sequence[str], foreign: Sequence[str], machine: Machine
) -> Forecast:
    """Return what stacking ``planned`` and ``foreign`` networks and those of the run will take."""
    if not [*planned, *foreign, *run.networks()]:
        raise InputFault(f"{run.folder}: there will be no network to stack; FOREIGN=folder brings other networks'")
    say(f"plan: {name}: measuring")
    started = time.perf_counter()
    design = expected_design(run, recipe, planned, foreign)
    _tell_shift(design)
    before = time.perf_counter() - started
    table, tasks = table_of(design), tasks_of_nesting(design, recipe)
    measured = _measure(tasks, table)
    workers = worth_processes(len(tasks), table)
    stacking = (
        STARTS
        + Span(low=0.8 * before, high=1.3 * before)
        + _seconds(tasks, measured, workers)
        + _ablating(design, recipe, measured, workers)
        + Span(low=REST_RANGE[0], high=REST_RANGE[1]).times(REST + REST_PER_ROW * len(design.X))
    )
    again = [task for task in tasks if len(task.left_out) == 1 and task.learner in recipe.blend]
    memory = _memory(design, recipe, table, workers)
    refused = _refusal(memory, machine) if memory > machine.memory else None
    trials = recipe.tuning.trials
    how = f"{len(measured)} fits measured of {len(tasks)} on {len(design.y)} rows and {design.X.shape[1]} columns"
    return Forecast(
        level="two",
        name=name,
        seconds={"stacking": stacking, "bundle": STARTS + _seconds(again, measured, workers)},
        disk=_disk(design, recipe),
        memory=memory,
        how=f"{how}, {workers} process(es)" + ("; tuning's trials are NOT counted" if trials else ""),
        refused=refused,
    )


def _tell_shift(design: Design) -> None:
    groups = np.concatenate([design.groups, np.arange(len(design.test)).astype(object)])
    acquisition = {name: blocks.find(name).ACQUISITION for name in blocks.names()}
    sets = shift.column_families(design.X.columns, acquisition)
    shift.adversarial_validation(design.X, np.arange(len(design.X)) >= len(design.y), groups, sets)


def _measure(tasks: Sequence[Task], table: Table) -> dict[tuple[str, int], float]:
    """Return (learner, folds left out) -> seconds of one such fit, after a small one that imports its library."""
    found: dict[tuple[str, int], float] = {}
    for task in tasks:
        kind = (task.learner, len(task.left_out))
        if kind in found:
            continue
        if not any(learner == task.learner for learner, _ in found):
            fitted(task, _some(table))
        started = time.perf_counter()
        fitted(task, table)
        found[kind] = time.perf_counter() - started
    return found


def _some(table: Table) -> Table:
    """Return a few rows of every fold, both classes among them."""
    order = np.random.default_rng(0).permutation(len(table.y))
    some = np.sort(np.concatenate([order[table.y[order] == value][:WARMING_ROWS] for value in (0, 1)]))
    return Table(table.X.iloc[some].reset_index(drop=True), table.y[some], table.folds[some], table.groups[some])


def _seconds(tasks: Sequence[Task], measured: dict[tuple[str, int], float], workers: int) -> Span:
    alone = sum(measured[task.learner, len(task.left_out)] for task in tasks)
    return Span(low=alone / workers, high=alone / workers * (SIDE_BY_SIDE.high if workers > 1 else 1.2))


def _ablating(design: Design, recipe: Recipe, measured: dict[tuple[str, int], float], workers: int) -> Span:
    leading = ablation.leader(recipe)
    if not recipe.ablation or leading is None:
        return Span()
    fits = len(ablation.parts(design)) * len(np.unique(design.folds)) / workers
    return Span(low=FEWER_COLUMNS.low, high=FEWER_COLUMNS.high).times(fits * measured[leading, 1])


def _memory(design: Design, recipe: Recipe, table: Table, workers: int) -> int:
    """Return the bytes of the process that stacks and of its workers: the table of each, and every score kept."""
    own = int(design.X.memory_usage(deep=False).sum())
    folds = len(np.unique(design.folds))
    staged = sum(len(STAGES) for name in recipe.learners if learners.find(name).USES_SEED)
    scores = len(design.X) * (staged + len(recipe.learners)) * (folds + 1) * MARGIN_BYTES
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    others = workers * (WORKER + 3 * own) if workers > 1 else 0
    return max(PROGRAM + 3 * own, peak) + 2 * scores + others


def _disk(design: Design, recipe: Recipe) -> dict[str, int]:
    rows = len(design.X)
    written = [name for name in design.X.columns if name.split(".")[0] in blocks.names()]
    return {
        "features": _table_bytes(design.X[written]),
        "tables": rows * (2 * len(recipe.learners) + 10) * 8,
        "bundle": sum(recipe.seeds for _ in recipe.blend) * len(np.unique(design.folds)) * MODEL_BYTES,
    }


def _table_bytes(table: pd.DataFrame) -> int:
    """Return what ``table`` takes on the disk, from some of its rows."""
    some = table.iloc[:: max(1, len(table) // SOME_ROWS)]
    with tempfile.TemporaryDirectory() as folder:
        write_table(Path(folder) / "some.parquet", some)
        written = (Path(folder) / "some.parquet").stat().st_size
    return round(written * len(table) / max(1, len(some)))


def _refusal(memory: int, machine: Machine) -> str:
    return (
        f"takes {format_bytes(memory)} of memory, and {format_bytes(machine.memory)} are available. What fits: fewer "
        "learners or contrasts in a recipe of your own, or networks = [...] with fewer of them"
    )
