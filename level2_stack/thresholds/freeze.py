"""Choose thresholds on inner folds, evaluate them on outer ones, and freeze those of all out-of-fold rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from level2_stack.calibration.reliability import class_weights
from level2_stack.crossval.decide import StackResult, inner_probability, mean_probability
from level2_stack.design.assemble import Design
from level2_stack.evaluation.at_thresholds import decision_measures
from level2_stack.recipe import Recipe
from level2_stack.thresholds.operating_point import Measure, OperatingPoint, name_of
from level2_stack.thresholds.rules import Choice, choose_threshold
from level2_stack.thresholds.settings import Rule

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class NestedRows:
    """What thresholds are chosen from: the n train rows, and for each outer fold the scores that did not use it.

    ``y`` (n,) is 0/1, ``groups`` (n,) the patients, ``folds`` (n,) 0..k-1. ``inner`` has per outer fold the
    probabilities of the rows outside it, by fits that used neither the fold nor the row; ``outer`` (n,) are the
    out-of-fold probabilities on which these choices are evaluated. ``mean`` (n,), for which thresholds are frozen, has
    those of the submitted model as a new case would get them: the mean over several fits that did not use the row.
    ``prevalence`` is that of the deployment; None: that of the rows.
    """

    y: Floats
    groups: NDArray[np.object_]
    folds: NDArray[np.int64]
    inner: list[Floats]
    outer: Floats
    mean: Floats
    prevalence: float | None = None

    def weights(self, rows: NDArray[np.bool_] | None = None) -> Floats:
        """Return weights of ``rows`` (all without it), one value per class, for the prevalence."""
        y = self.y if rows is None else self.y[rows]
        return np.ones_like(y) if self.prevalence is None else class_weights(y, self.prevalence)

    def share_malignant(self) -> float:
        """Return the share of malignant cases where the thresholds will be used."""
        return float(self.y.mean()) if self.prevalence is None else self.prevalence


def nested_rows(design: Design, recipe: Recipe, result: StackResult, folds: NDArray[np.int64]) -> NestedRows:
    """Return the rows of a stack: its headline is evaluated, its submitted model gets the thresholds."""
    train = result.probability.loc[design.train.index]
    return NestedRows(
        y=design.y,
        groups=design.groups,
        folds=folds,
        inner=[inner_probability(result, fold, design.y, folds, recipe) for fold in range(int(folds.max()) + 1)],
        outer=train[result.headline].to_numpy(np.float64),
        mean=mean_probability(result, design.y, folds, recipe),
        prevalence=recipe.calibration.prevalence,
    )


def freeze_threshold(rows: NestedRows, rule: Rule, aim: float) -> OperatingPoint:
    """Return the operating point of ``rule``: its threshold from all rows, its measures from nested choices."""
    choice = choose_threshold(rule, aim, rows.y, rows.mean, rows.weights())
    by_fold = [_inner_choice(rows, rule, aim, fold).threshold for fold in range(len(rows.inner))]
    is_malignant = outer_decisions(rows, by_fold)
    measures = decision_measures(rows.y, is_malignant, rows.groups, choice.threshold, rows.weights())
    positive = rows.y == 1
    return OperatingPoint(
        name=name_of(rule, aim),
        rule=rule,
        aim=aim,
        threshold=choice.threshold,
        prevalence=rows.share_malignant(),
        fold_thresholds=tuple(by_fold),
        measures={name: Measure.of(interval) for name, interval in measures.items()},
        true_positives=int((positive & is_malignant).sum()),
        false_positives=int((~positive & is_malignant).sum()),
        true_negatives=int((~positive & ~is_malignant).sum()),
        false_negatives=int((positive & ~is_malignant).sum()),
        note=choice.note,
    )


def outer_decisions(rows: NestedRows, fold_thresholds: Sequence[float]) -> NDArray[np.bool_]:
    """Return whether each row is predicted malignant at the threshold that was chosen without its fold, (n,)."""
    return np.asarray(rows.outer >= np.array(fold_thresholds)[rows.folds])


def freeze_thresholds(rows: NestedRows, recipe: Recipe) -> list[OperatingPoint]:
    """Return the operating points of every rule of ``recipe``."""
    return [freeze_threshold(rows, rule, aim) for rule, aim in recipe.thresholds.aims(rows.share_malignant())]


def _inner_choice(rows: NestedRows, rule: Rule, aim: float, fold: int) -> Choice:
    outside = rows.folds != fold
    return choose_threshold(rule, aim, rows.y[outside], rows.inner[fold], rows.weights(outside))
