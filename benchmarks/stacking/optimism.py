"""Stacked overfitting: the bias of the reported AUC because level-one models were trained on the held-out fold."""

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

    Usually, the level-one prediction of a training row comes from a model trained on every fold except the row's own,
    so also on the outer fold that level two holds out. Full nesting trains level one again without the outer fold. Each
    of the clinics ``seeds`` has ``train`` pictures and ``test`` new ones; ``kinds`` are names of KINDS in networks.py.

    ``usual`` and ``nested`` are mean AUCs over the outer folds; ``usual_fresh`` and ``nested_fresh`` are the AUCs of
    the same models, with the same level-one fits, on the new rows. Nested level one is trained on one fold less and, as
    a submission, averages several fits, so ``usual - nested`` is not only overfitting. ``optimism`` is only that:
    (usual - usual_fresh) - (nested - nested_fresh); the random difference between cohorts cancels out, too.
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
    """Return the first trained learner of ``recipe`` that uses all columns, and the first that uses logits only."""
    names = [name for name in recipe.learners if not learners.find(name).BASELINE]
    if not names:
        raise InputFault(
            f"learners = {recipe.learners}: none of them is trained, so nothing can overfit; add 'logistic'"
        )
    return list({learners.find(name).USES: name for name in reversed(names)}.values())[::-1]


def _of_clinic(recipe: Recipe, seed: int, train: int, test: int, kinds: Sequence[str]) -> Iterator[dict[str, object]]:
    """Yield a row per kind of level one and learner, for the clinic ``seed``."""
    cohort, cases = draw_cases(train, test, seed)
    clinic = _Clinic(cohort, cases, block_tables(cases), recipe)
    for kind in kinds:
        level_one = train_level_one(cohort, cases, KINDS[kind], seed, pairs=True)
        for name in _one_of_each_kind(recipe):
            yield {"seed": seed, "level_one": kind, "learner": name, **clinic.compare(level_one, name)}
    say(f"stacked overfitting: cohort {seed}: done")


@dataclass(frozen=True)
class _Clinic:
    """One clinic, its case table and blocks, and the recipe."""

    cohort: pd.DataFrame
    cases: pd.DataFrame
    blocks: Tables
    recipe: Recipe

    def compare(self, level_one: LevelOne, learner: str) -> dict[str, float]:
        """Return the AUCs that ``optimism_study`` describes, for one learner and one level one."""
        usual, usual_fresh = self._mean_aucs([level_one.usual_tables(fold) for fold in range(FOLDS)], learner)
        nested_tables = [level_one.out_of_fold(frozenset({fold})) for fold in range(FOLDS)]
        full, full_fresh = self._mean_aucs(nested_tables, learner)
        aucs = {"usual": usual, "usual_fresh": usual_fresh, "nested": full, "nested_fresh": full_fresh}
        optimism = (usual - usual_fresh) - (full - full_fresh)
        return aucs | {"usual_minus_nested": usual - full, "optimism": optimism}

    def _mean_aucs(self, tables_by_fold: Sequence[Tables], learner: str) -> tuple[float, float]:
        """Return the mean AUCs over the outer folds, on the held-out fold and on the new rows."""
        aucs = [self._aucs_of_fold(fold, tables, learner) for fold, tables in enumerate(tables_by_fold)]
        held_out, fresh = np.mean(aucs, axis=0)
        return float(held_out), float(fresh)

    def _aucs_of_fold(self, fold: int, predictions: Tables, name: str) -> tuple[float, float]:
        """Return the AUCs on fold ``fold`` and on the new rows of a learner that is trained on the other folds."""
        held_out, fresh = self.cases["fold"] == fold, self.cases["role"] == "test"
        # Level two handles the outer fold like test rows.
        roles = self.cases.assign(role=self.cases["role"].mask(held_out, "test"))
        design = design_of(roles, predictions, self.blocks, self.recipe)
        train, test = select_columns(name, design.train), select_columns(name, design.test)
        params = self.recipe.parameters(name)
        predict = learners.find(name).fit(params, train, design.y, groups=design.groups, seed=0)
        score = pd.Series(predict(test), index=test.index)
        return self._auc(score, held_out), self._auc(score, fresh)

    def _auc(self, score: pd.Series, rows: pd.Series) -> float:
        target = self.cohort["target"].to_numpy(dtype=np.float64)[rows.to_numpy()]
        return auc(target, score.loc[rows.index[rows]].to_numpy(dtype=np.float64))


def _summary(table: pd.DataFrame) -> pd.DataFrame:
    rows: list[dict[str, object]] = []
    for (kind, name), part in table.groupby(["level_one", "learner"], sort=False):
        gap, gap_error = with_error(part["usual_minus_nested"])
        optimism, optimism_error = with_error(part["optimism"])
        means = {column: float(part[column].mean()) for column in ("usual", "nested")}
        errors = {"usual_minus_nested": gap, "its_error": gap_error, "optimism": optimism, "error": optimism_error}
        rows.append({"level_one": kind, "learner": name, **means, **errors})
    return pd.DataFrame(rows)


def _sentence(row: pd.Series) -> str:
    gap = f"usual minus fully nested {row['usual_minus_nested']:+.4f} (standard error {row['its_error']:.4f})"
    net = f"stacked overfitting {row['optimism']:+.4f} ({row['error']:.4f})"
    return f"{row['level_one']} level one, {row['learner']}: {gap}; {net}"
