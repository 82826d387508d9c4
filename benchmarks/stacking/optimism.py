"""Stacked overfitting: what a report gains because level-one models of training rows have seen the held-out fold."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.stacking.networks import FOLDS, KINDS, LevelOne, draw_cases, train_level_one
from benchmarks.stacking.study import Study, with_error
from benchmarks.stacking.truth import Tables, block_tables, design_of
from level2_stack import learners
from level2_stack.crossval.fits import select_columns
from level2_stack.evaluation.auc import auc
from level2_stack.recipe import Recipe
from runtime.errors import InputFault
from runtime.progress import say


def optimism_study(
    recipe: Recipe, seeds: Sequence[int], *, train: int, test: int, kinds: Sequence[str] = tuple(KINDS)
) -> Study:
    """Return the AUC that learners of ``recipe`` report with usual and with fully nested level-one predictions.

    The usual way takes a training row's level-one prediction from a model that has seen every fold but the row's own,
    so also the outer fold that is held out of level two. Full nesting trains level one anew without the outer fold.
    The clinics ``seeds`` have ``train`` pictures and ``test`` fresh ones; ``kinds`` name level ones of networks.py.

    ``usual`` and ``nested`` are the mean AUC over the outer folds, ``usual_fresh`` and ``nested_fresh`` that of the
    same models, fed by the same level-one fits, on the fresh rows. Nested level one has a fold less to learn from and,
    as a submission does, takes a mean over fits, so ``usual - nested`` is not overfitting alone. ``optimism`` is:
    (usual - usual_fresh) - (nested - nested_fresh), where the luck of the cohort cancels too.
    """
    table = pd.DataFrame([row for seed in seeds for row in _of_clinic(recipe, seed, train, test, kinds)])
    summary = _summary(table)
    figures = {
        f"{row['level_one']}_{row['learner']}_{key}": float(row[key])
        for _, row in summary.iterrows()
        for key in summary.columns[2:]
    }
    tables = {"stacked overfitting": table, "stacked overfitting, mean and standard error": summary}
    return Study(tables, figures, [_sentence(row) for _, row in summary.iterrows()])


def _one_of_each_kind(recipe: Recipe) -> list[str]:
    """Return the first trained learner of ``recipe`` that uses all columns, and the first that uses logits alone."""
    trained = [name for name in recipe.learners if not learners.find(name).BASELINE]
    if not trained:
        raise InputFault(f"learners = {recipe.learners}: none of them is trained, so nothing can overfit")
    return list({learners.find(name).USES: name for name in reversed(trained)}.values())[::-1]


def _of_clinic(recipe: Recipe, seed: int, train: int, test: int, kinds: Sequence[str]) -> Iterator[dict[str, object]]:
    """Yield a row per kind of level one and learner, for the clinic ``seed``."""
    cohort, cases = draw_cases(train, test, seed)
    world = _World(cohort, cases, block_tables(cases), recipe)
    for kind in kinds:
        level_one = train_level_one(cohort, cases, KINDS[kind], seed, pairs=True)
        for name in _one_of_each_kind(recipe):
            yield {"seed": seed, "level_one": kind, "learner": name, **world.compared(level_one, name)}
    say(f"stacked overfitting: cohort {seed}: done")


@dataclass(frozen=True)
class _World:
    """One clinic, its case table and blocks, and the recipe."""

    cohort: pd.DataFrame
    cases: pd.DataFrame
    blocks: Tables
    recipe: Recipe

    def compared(self, level_one: LevelOne, learner: str) -> dict[str, float]:
        """Return what ``optimism_study`` tells of one learner over one level one."""
        usual, usual_fresh = self._reported([level_one.with_fold_seen(fold) for fold in range(FOLDS)], learner)
        clean = [level_one.out_of_fold(frozenset({fold})) for fold in range(FOLDS)]
        nested, nested_fresh = self._reported(clean, learner)
        found = {"usual": usual, "usual_fresh": usual_fresh, "nested": nested, "nested_fresh": nested_fresh}
        optimism = (usual - usual_fresh) - (nested - nested_fresh)
        return found | {"usual_minus_nested": usual - nested, "optimism": optimism}

    def _reported(self, by_fold: Sequence[Tables], learner: str) -> tuple[float, float]:
        """Return the mean over outer folds of the AUC on the fold and on the fresh rows."""
        found = [self._of_fold(fold, tables, learner) for fold, tables in enumerate(by_fold)]
        held, fresh = np.mean(found, axis=0)
        return float(held), float(fresh)

    def _of_fold(self, fold: int, predictions: Tables, name: str) -> tuple[float, float]:
        """Return the AUC on fold ``fold`` and on the fresh rows of a learner that is trained on the other folds."""
        held, fresh = self.cases["fold"] == fold, self.cases["role"] == "test"
        # To level two, the outer fold is a set of test rows.
        roles = self.cases.assign(role=self.cases["role"].mask(held, "test"))
        design = design_of(roles, predictions, self.blocks, self.recipe)
        train, test = select_columns(name, design.train), select_columns(name, design.test)
        params = self.recipe.parameters(name)
        predict = learners.find(name).fit(params, train, design.y, groups=design.groups, seed=0)
        score = pd.Series(predict(test), index=test.index)
        return self._auc(score, held), self._auc(score, fresh)

    def _auc(self, score: pd.Series, of: pd.Series) -> float:
        target = self.cohort["target"].to_numpy(dtype=np.float64)[of.to_numpy()]
        return auc(target, score.loc[of.index[of]].to_numpy(dtype=np.float64))


def _summary(table: pd.DataFrame) -> pd.DataFrame:
    rows: list[dict[str, object]] = []
    for (kind, name), part in table.groupby(["level_one", "learner"], sort=False):
        gap, gap_error = with_error(part["usual_minus_nested"])
        optimism, optimism_error = with_error(part["optimism"])
        means = {column: float(part[column].mean()) for column in ("usual", "nested")}
        found = {"usual_minus_nested": gap, "its_error": gap_error, "optimism": optimism, "error": optimism_error}
        rows.append({"level_one": kind, "learner": name, **means, **found})
    return pd.DataFrame(rows)


def _sentence(row: pd.Series) -> str:
    gap = f"usual minus fully nested {row['usual_minus_nested']:+.4f} (standard error {row['its_error']:.4f})"
    net = f"stacked overfitting {row['optimism']:+.4f} ({row['error']:.4f})"
    return f"{row['level_one']} level one, {row['learner']}: {gap}; {net}"
