"""Refit the outer models of a finished stack and write them as a portable stack."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import logit

from level2_stack import learners
from level2_stack.crossval.fits import Model, Table, Task, Workers, build_table, run_tasks
from level2_stack.design.assemble import Design
from level2_stack.explain.explanations import LIMIT, StackDecisions
from level2_stack.explain.fits import members_of, tasks_of
from level2_stack.portable.facts import Column, Member, StackFacts
from level2_stack.portable.stack import FACTS, PortableStack, model_folder
from level2_stack.recipe import Recipe
from runtime.errors import InputFault
from runtime.files import write_json
from runtime.invocation import command
from runtime.progress import progress_bar


def write_portable_stack(
    design: Design,
    recipe: Recipe,
    decisions: StackDecisions,
    probability: pd.Series,
    folder: Path,
    *,
    processes: Workers | None = None,
) -> None:
    """Refit the outer models of a finished stack and write them to ``folder``, which ``read_portable_stack`` reads.

    ``probability`` holds the probabilities that the stack wrote; raises InputFault if the refitted models give the test
    cases other probabilities.
    """
    table = build_table(design)
    members = members_of(recipe, decisions.members, decisions.rounds)
    tasks = tasks_of(members, recipe, decisions.tuned_params, len(decisions.calibrators))
    models: dict[tuple[str, int], list[Model]] = {}
    with progress_bar("level two: fitting for the bundle", len(tasks), unit="fit") as advance:
        for task, model in zip(tasks, _fits(tasks, table, processes), strict=True):
            models.setdefault((task.learner, task.excluded_folds[0]), []).append(model)
            advance(1)
    facts = _facts(design, table, recipe, decisions, models)
    stack = PortableStack(facts, models)
    _check_probabilities(stack, design, probability)
    for (name, fold), seeds in models.items():
        for seed, model in enumerate(seeds):
            learners.find(name).save(model.predict, model_folder(folder, name, fold, seed))
    write_json(folder / FACTS, facts.model_dump(mode="json"))


def _fits(tasks: Sequence[Task], table: Table, processes: Workers | None) -> Iterator[Model]:
    for _, fit in run_tasks(tasks, table, processes=processes):
        if fit.model is None:
            raise ValueError("an outer fit keeps its model")
        yield fit.model


def _facts(
    design: Design, table: Table, recipe: Recipe, decisions: StackDecisions, models: dict[tuple[str, int], list[Model]]
) -> StackFacts:
    folds = range(len(decisions.calibrators))
    return StackFacts(
        submitted=decisions.submitted,
        members=tuple(
            Member(
                name=name,
                seeds=len(models[name, 0]),
                rounds=None if name not in decisions.rounds else tuple(decisions.rounds[name]),
                corrections=tuple(tuple(model.correction for model in models[name, fold]) for fold in folds),
            )
            for name in decisions.members
        ),
        weights=tuple(tuple(row) for row in decisions.weights.tolist()),
        calibrators=tuple({"name": each.name, **each.parameters()} for each in decisions.calibrators),
        trained=tuple(float(table.y[table.folds != fold].mean()) for fold in folds),
        prevalence=recipe.calibration.prevalence,
        columns=tuple(_column(str(name), column) for name, column in design.X.items()),
    )


def _column(name: str, values: pd.Series) -> Column:
    is_text = isinstance(values.dtype, pd.CategoricalDtype)
    return Column(name=name, categories=tuple(map(str, values.cat.categories)) if is_text else None)


def _check_probabilities(stack: PortableStack, design: Design, probability: pd.Series) -> None:
    test = design.test
    if not len(test):
        return
    refitted_logits = logit(stack.probability(stack.design(test)))
    stored_logits = logit(probability.loc[test.index].to_numpy(np.float64))
    if np.abs(refitted_logits - stored_logits).max() > LIMIT:
        raise InputFault(
            "the refitted models give other test probabilities than the stored stack; tables, recipe or libraries have "
            f"changed since; {command('stack')} makes the stack again"
        )
