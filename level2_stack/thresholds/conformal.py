"""Conformal sets per class, cross-fitted by patients, with their coverage in subgroups: for research."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from level2_stack.evaluation.auc import Draws, Floats, percentile_interval, ratio, replicate
from level2_stack.evaluation.subgroups import MIN_PATIENTS, Group, list_groups
from level2_stack.thresholds.freeze import NestedRows

CLASSES = {1: "malignant", 0: "benign"}
SETS = {"only_malignant": (True, False), "only_benign": (False, True), "both": (True, True), "empty": (False, False)}


def conformal_sets(rows: NestedRows, coverage: float) -> NDArray[np.bool_]:
    """Return whether the set of each row has the class malignant, and the class benign, (n, 2).

    The limits of a row come from the inner scores outside its patient's fold, one per class (Mondrian, Vovk 2012): the
    class malignant is in the set from the score that the share ``coverage`` of the malignant cases reaches, the class
    benign up to the score that as many of the benign cases do not exceed. So each class is covered with this
    probability, however rare it is, if new patients come from the same population.
    """
    sets = np.zeros((len(rows.y), 2), dtype=np.bool_)
    for fold, inner in enumerate(rows.inner):
        y, own = rows.y[rows.folds != fold], rows.folds == fold
        sets[own, 0] = rows.outer[own] >= -_limit(-inner[y == 1], coverage)
        sets[own, 1] = rows.outer[own] <= _limit(inner[y == 0], coverage)
    return sets


def _limit(scores: Floats, coverage: float) -> float:
    """Return the score that a new one does not exceed with a probability of at least ``coverage``."""
    rank = int(np.ceil(coverage * (len(scores) + 1) - 1e-9))
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else float("inf")


def conformal_table(
    rows: NestedRows, cases: pd.DataFrame, coverage: float, *, replicates: int = 500, seed: int = 0
) -> pd.DataFrame:
    """Return a row per subgroup and class: the share of its rows whose set has their class, and the kinds of sets.

    ``cases`` has the n rows in the same order. Columns: ``kind, value, class, rows, patients``; ``coverage`` with
    ``coverage_low`` and ``coverage_high`` (95 %, patients resampled; NaN with fewer than ten patients); ``aim``; and
    the shares of sets with one class (``only_malignant, only_benign``), both, or none (``empty``).
    """
    sets, groups = conformal_sets(rows, coverage), list_groups(rows.outer, cases)
    draws = Draws(rows.groups, replicates=replicates, seed=seed)
    parts = [(group, value) for group in groups for value in CLASSES]
    masks = [group.members & (rows.y == value) for group, value in parts]
    has_own_class = np.where(rows.y == 1, sets[:, 0], sets[:, 1])
    values = replicate({"": _Coverage(has_own_class, masks, draws)}, draws, cells=len(parts))[""]
    table_rows = [
        _row(group, value, mask, sets, draws) | _coverage(estimates, mask, draws) | {"aim": coverage}
        for (group, value), mask, estimates in zip(parts, masks, values, strict=True)
        if mask.any()
    ]
    return pd.DataFrame(table_rows)


class _Coverage:
    """The coverage of every part for any draw of patients."""

    def __init__(self, has_own_class: NDArray[np.bool_], masks: list[NDArray[np.bool_]], draws: Draws) -> None:
        def count(rows: NDArray[np.bool_]) -> Floats:
            return np.bincount(draws.patient_of, rows, minlength=draws.patients).astype(np.float64)

        self._rows = np.stack([count(mask) for mask in masks])
        self._with_class = np.stack([count(mask & has_own_class) for mask in masks])

    def __call__(self, counts: Floats) -> Floats:
        return ratio(self._with_class @ counts, self._rows @ counts)


def _row(group: Group, value: int, mask: NDArray[np.bool_], sets: NDArray[np.bool_], draws: Draws) -> dict[str, object]:
    row: dict[str, object] = {"kind": group.kind, "value": group.value, "class": CLASSES[value]}
    row |= {"rows": int(mask.sum()), "patients": _patients(mask, draws)}
    return row | {name: float((sets[mask] == kinds).all(axis=1).mean()) for name, kinds in SETS.items()}


def _coverage(estimates: Floats, mask: NDArray[np.bool_], draws: Draws) -> dict[str, float]:
    value, low, high = percentile_interval(estimates)
    if _patients(mask, draws) < MIN_PATIENTS:
        low = high = float("nan")
    return {"coverage": value, "coverage_low": low, "coverage_high": high}


def _patients(mask: NDArray[np.bool_], draws: Draws) -> int:
    return len(np.unique(draws.patient_of[mask]))
