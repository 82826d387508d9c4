"""The outer models of a finished stack, fitted again and written as a portable stack."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import logit

from level2_stack import learners
from level2_stack.crossval.fits import Model, Table, Task, Workers, run, table_of
from level2_stack.design.assemble import Design
from level2_stack.explain.explanations import LIMIT, StackDecisions
from level2_stack.explain.fits import members_of, tasks_of
from level2_stack.portable.stack import FACTS, Column, Member, PortableStack, StackFacts, place_of
from level2_stack.recipe import Recipe
from runtime.errors import InputFault
from runtime.files import write_json
from runtime.progress import progress_bar


def write_portable_stack(
    design: Design,
    recipe: Recipe,
    decided: StackDecisions,
    probability: pd.Series,
    folder: Path,
    *,
    processes: Workers | None = None,
) -> None:
    """Fit the outer models of a finished stack again and write them to ``folder``, as ``read_portable_stack`` reads.

    ``probability`` is what the stack wrote: InputFault when the test cases get other ones than theirs.
    """
    table = table_of(design)
    members = members_of(recipe, decided.members, decided.rounds)
    tasks = tasks_of(members, recipe, decided.tuned, len(decided.calibrators))
    models: dict[tuple[str, int], list[Model]] = {}
    with progress_bar("level two: fitting for the bundle", len(tasks), unit="fits") as advance:
        for task, model in zip(tasks, _fits(tasks, table, processes), strict=True):
            models.setdefault((task.learner, task.left_out[0]), []).append(model)
            advance(1)
    facts = _facts(design, table, recipe, decided, models)
    stack = PortableStack(facts, models)
    _refuse_other(stack, design, probability)
    for (name, fold), seeds in models.items():
        for seed, model in enumerate(seeds):
            learners.find(name).save(model.predict, place_of(folder, name, fold, seed))
    write_json(folder / FACTS, facts.model_dump(mode="json"))


def _fits(tasks: Sequence[Task], table: Table, processes: Workers | None) -> Iterator[Model]:
    for _, found in run(tasks, table, processes=processes):
        if found.model is None:
            raise ValueError("an outer fit keeps its model")
        yield found.model


def _facts(
    design: Design, table: Table, recipe: Recipe, decided: StackDecisions, models: dict[tuple[str, int], list[Model]]
) -> StackFacts:
    folds = range(len(decided.calibrators))
    return StackFacts(
        submitted=decided.submitted,
        members=tuple(
            Member(
                name=name,
                seeds=len(models[name, 0]),
                rounds=None if name not in decided.rounds else tuple(decided.rounds[name]),
                corrections=tuple(tuple(model.correction for model in models[name, fold]) for fold in folds),
            )
            for name in decided.members
        ),
        weights=tuple(tuple(row) for row in decided.weights.tolist()),
        calibrators=tuple({"name": each.name, **each.parameters()} for each in decided.calibrators),
        trained=tuple(float(table.y[table.folds != fold].mean()) for fold in folds),
        prevalence=recipe.calibration.prevalence,
        columns=tuple(_column(str(name), column) for name, column in design.X.items()),
    )


def _column(name: str, values: pd.Series) -> Column:
    known = isinstance(values.dtype, pd.CategoricalDtype)
    return Column(name=name, categories=tuple(map(str, values.cat.categories)) if known else None)


def _refuse_other(stack: PortableStack, design: Design, probability: pd.Series) -> None:
    test = design.test
    if not len(test):
        return
    made = logit(stack.probabilities(stack.design(test)).mean(axis=0))
    kept = logit(probability.loc[test.index].to_numpy(np.float64))
    if np.abs(made - kept).max() > LIMIT:
        raise InputFault("the fits made again give other test probabilities than the stack's; `make stack` mends it")
