"""Say before a stack over many columns how long it will take, and which recipe is cheaper."""

import time
from collections.abc import Sequence

import numpy as np

from level2_stack import learners
from level2_stack.crossval import ablation
from level2_stack.crossval.fits import Table, Task, build_table, choose_processes, fit_task
from level2_stack.crossval.nested import list_tasks
from level2_stack.design.assemble import Design
from level2_stack.forecast.stack import run_shift_check
from level2_stack.recipe import Recipe, read_recipe
from level2_stack.recipe_files import recipe_file
from runtime.forecasts import Span, format_seconds
from runtime.invocation import option
from runtime.progress import say

MANY = 500  # columns, from which on a stack may take long
SAMPLE = 150  # columns that a timed fit has, besides the logits
LONG = 300.0  # seconds, from which on a cheaper recipe is offered
CHEAPER = "wide"
# The time of a whole stack relative to the sum of its fits: other users of the machine, blending, tables.
RANGE = Span(low=0.7, high=2.0)


def announce_wide(design: Design, recipe: Recipe, workers: int | None = None) -> None:
    """Print the time of a stack of ``recipe`` over ``design`` if that has many columns, and what is cheaper.

    The fits are timed on a part of the columns, which takes seconds, and counted. ``workers`` is the number of machines
    of a cluster; None: processes of this machine.
    """
    count = design.X.shape[1]
    if count < MANY:
        return
    span, fits, processes = forecast_wide(design, recipe, workers)
    say(
        f"level two: {count:,} columns: {format_seconds(span)} for {fits} fits by {processes} process(es), from fits "
        f"to {SAMPLE} of the columns"
    )
    cheaper = read_recipe(recipe_file(CHEAPER)).model_copy(update={"networks": recipe.networks})
    # Every reading of a file makes a model of its own kind, so the models themselves are never equal.
    if span.high < LONG or recipe.model_dump() == cheaper.model_dump():
        return
    time_of_cheaper = format_seconds(forecast_wide(design, cheaper, workers)[0])
    say(f"  cheaper: {option('recipe', CHEAPER)}, one booster without an ablation: {time_of_cheaper}")
    say("  or a new run on fewer columns: metadata = [...] under [columns] in cases.toml names those to use")


def forecast_wide(design: Design, recipe: Recipe, workers: int | None = None) -> tuple[Span, int, int]:
    """Return the seconds of a stack of ``recipe``, the number of its fits, and the number of processes."""
    table, tasks = build_table(design), list_tasks(design, recipe)
    tasks = [*tasks, *_ablation_tasks(design, recipe, tasks)]
    processes = workers or choose_processes(len(tasks), table)
    few = _few_columns(design)
    small, factor = build_table(few), table.X.shape[1] / few.X.shape[1]
    seconds: dict[tuple[str, int], float] = {}
    total, start = 0.0, time.perf_counter()
    run_shift_check(few)
    comparison = factor * (time.perf_counter() - start)  # of test with train rows, by this process alone
    for task in tasks:
        kind = (task.learner, len(task.excluded_folds))
        if kind not in seconds:
            seconds[kind] = _time(task, small) * (factor if learners.find(task.learner).USES == "all" else 1.0)
        total += seconds[kind]
    alone = total / processes + comparison
    return Span(low=RANGE.low * alone, high=RANGE.high * alone), len(tasks), processes


def _ablation_tasks(design: Design, recipe: Recipe, tasks: Sequence[Task]) -> list[Task]:
    """Return as many fits as the ablation makes; most have nearly all columns."""
    booster = ablation.leading_booster(recipe)
    if not recipe.ablation or booster is None:
        return []
    outer = next(task for task in tasks if task.learner == booster and len(task.excluded_folds) == 1)
    return [outer] * len(ablation.list_parts(design)) * len(np.unique(design.folds))


def _few_columns(design: Design) -> Design:
    """Return ``design`` with the logits and ``SAMPLE`` of the other columns, evenly spaced."""
    names = list(design.X.columns)
    logits = [name for name in names if name.startswith("logit.")]
    others = [name for name in names if not name.startswith("logit.")]
    spaced_columns = [others[place] for place in np.linspace(0, len(others) - 1, SAMPLE).astype(int)]
    return design.without(set(names) - {*logits, *spaced_columns})


def _time(task: Task, table: Table) -> float:
    """Return the seconds of a fit; the first one of a learner, which imports its library, is not timed."""
    fit_task(task, table)
    start = time.perf_counter()
    fit_task(task, table)
    return time.perf_counter() - start
