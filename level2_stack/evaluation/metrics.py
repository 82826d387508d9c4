"""Clinical metrics with intervals: partial AUC, average precision, working points and top-15 hits."""

import math
from collections.abc import Callable, Hashable, Mapping
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from level2_stack.evaluation.auc import (
    Draws,
    Floats,
    PatientROC,
    RocWeights,
    delong_interval,
    percentile_interval,
    ratio,
    replicate,
)

TOP = 15  # pictures of a patient that a physician has time to look at; the metric of the second prize of ISIC 2024
MAX_TOP_CHANCE = 0.9  # share of the positives that a constant score may hit; above it the metrics say nothing
MIN_SENSITIVITY = 80  # percent; below it the ROC curve has no clinical use; the metric of the first prize of ISIC 2024
PERCENTS = (95, 90, 80)
CurveMetric = Callable[[RocWeights], Floats]
AVERAGE_PRECISION = "average_precision"  # the only of these metrics that depends on the share of malignant cases


def partial_area(weights: RocWeights, percent: int = MIN_SENSITIVITY) -> Floats:
    """Return the area under the ROC curve and above ``percent`` sensitivity, (b,): the metric of ISIC 2024.

    After reversing labels and scores it is the area under the ROC curve left of max_fpr = 1 - percent / 100. The area
    is from 0 to 1 - percent / 100 (0.2 for 80 %), and half the square of that maximum (0.02) for a random score.
    Between points the curve is a straight line. NaN with one class.
    """
    all_positives, positives = weights.all_positives, weights.positives_at
    below = np.cumsum(positives, axis=0) - positives  # positives with a lower score: the reversed curve's abscissa
    width = np.clip((100 - percent) / 100 * all_positives - below, 0, positives)
    # Across the positives of one score, of which `width` count, the curve rises linearly by `negatives_at`.
    middle = weights.negatives_below + weights.negatives_at / 2 * width / np.where(positives == 0, 1, positives)
    return ratio((width * middle).sum(axis=0), all_positives * weights.all_negatives)


def average_precision(weights: RocWeights, prevalence: float | None = None) -> Floats:
    """Return the average precision, (b,): the mean over positives of the precision with their score as threshold.

    Scores at the threshold are predicted malignant. The precision is that among cases of which the share ``prevalence``
    is malignant; None: the share of the rows. A random score has the prevalence. NaN with one class.
    """
    true_positives, false_positives = _true_positives(weights), weights.all_negatives - weights.negatives_below
    if prevalence is not None:
        false_positives = false_positives * (
            ratio(weights.all_positives, weights.all_negatives) * (1 - prevalence) / prevalence
        )
    precision = ratio(true_positives, true_positives + false_positives)
    total = np.where(weights.positives_at == 0, 0.0, weights.positives_at * precision).sum(axis=0)
    return ratio(total, weights.all_positives * (weights.all_negatives > 0))


def sensitivity_at(weights: RocWeights, specificity: int) -> Floats:
    """Return the highest sensitivity, (b,), of any threshold whose specificity is at least ``specificity`` percent.

    A row is predicted malignant if its score is at or above the threshold; no interpolation. NaN with one class.
    """
    # Whole numbers, so that 19 of 20 are 95 % without rounding.
    is_specific = 100 * weights.negatives_below >= specificity * weights.all_negatives
    true_positives = np.where(is_specific, _true_positives(weights), 0.0).max(axis=0, initial=0.0)
    return ratio(true_positives, weights.all_positives * (weights.all_negatives > 0))


def specificity_at(weights: RocWeights, sensitivity: int) -> Floats:
    """Return the highest specificity, (b,), of any threshold whose sensitivity is at least ``sensitivity`` percent.

    A row is predicted malignant if its score is at or above the threshold; no interpolation. NaN with one class.
    """
    is_sensitive = 100 * _true_positives(weights) >= sensitivity * weights.all_positives
    true_negatives = np.where(is_sensitive, weights.negatives_below, 0.0).max(axis=0, initial=0.0)
    return ratio(true_negatives, weights.all_negatives * (weights.all_positives > 0))


def _true_positives(weights: RocWeights) -> Floats:
    """Return the weight of the positives at or above each score."""
    return np.asarray(np.cumsum(weights.positives_at[::-1], axis=0)[::-1])


CURVE_METRICS: Mapping[str, CurveMetric] = {
    "auc": RocWeights.area,
    f"partial_auc_above_{MIN_SENSITIVITY}_sensitivity": partial_area,
    AVERAGE_PRECISION: average_precision,
    **{f"sensitivity_at_{p}_specificity": partial(sensitivity_at, specificity=p) for p in PERCENTS},
    **{f"specificity_at_{p}_sensitivity": partial(specificity_at, sensitivity=p) for p in PERCENTS},
}
COLUMNS = ["model", "metric", "value", "low", "high", "replicates", "prevalence", "rows", "positives", "patients"]
TOP_METRICS = (f"top{TOP}_hits", f"top{TOP}_sensitivity", f"top{TOP}_patient_sensitivity")


def top_chance(score: Floats, patient_of: NDArray[np.intp], top: int = TOP) -> Floats:
    """Return the probability, (n,), of each picture to be among the ``top`` highest scores of its patient.

    It is 1 or 0, except for pictures with equal scores at the last rank: they are ranked in random order, so that a
    constant score has as many hits as a random one. ``patient_of`` (n,) numbers the patients.
    """
    order = np.lexsort((-score, patient_of))
    patients, scores = patient_of[order], score[order]
    rows = np.arange(len(order))
    starts_patient = np.r_[True, patients[1:] != patients[:-1]][: len(order)]
    starts_tie = starts_patient | np.r_[True, scores[1:] != scores[:-1]][: len(order)]
    starts = np.flatnonzero(starts_tie)
    tie_sizes = np.diff(np.r_[starts, len(order)])
    n_above = starts - np.maximum.accumulate(np.where(starts_patient, rows, 0))[starts]
    chance = np.empty(len(order))
    chance[order] = np.repeat(np.clip((top - n_above) / tie_sizes, 0, 1), tie_sizes)
    return chance


def clinical_metrics(
    y: Floats,
    scores: pd.DataFrame,
    groups: NDArray[np.object_],
    *,
    prevalence: float | None = None,
    replicates: int = 500,
    seed: int = 0,
) -> pd.DataFrame:
    """Return one row per model and metric: the value and its 95 % interval, patients resampled.

    ``y`` (n,) is 0/1, ``scores`` n x models, ``groups`` (n,) the patients. Columns: ``model, metric, value, low, high,
    replicates`` (the number of replicates with a value; those with one class have none), ``prevalence`` (for which the
    metric holds: ``prevalence``, or with None the share of the rows; NaN where it does not matter) and ``rows,
    positives, patients``, counted on the rows where the model is not NaN. Metrics without a value are left out, and so
    are those of the 15 highest scores where patients have so few pictures that a constant score has 0.9 of the hits.

    Metrics: ``auc``; ``auc_delong``, the same with the normal interval of DeLong et al. 1988, which treats pictures of
    a patient as independent and needs no replicates; ``partial_auc_above_80_sensitivity`` (0 to 0.2; see
    `partial_area`); ``average_precision``; ``sensitivity_at_95_specificity`` and so on, the best value of any
    threshold, chosen again in each replicate; ``top15_hits``, the number of positives among the 15 highest-scored
    pictures of their own patient; ``top15_sensitivity``, the share of these in all positives;
    ``top15_patient_sensitivity``, the mean of that share over the patients with a positive. All models use the same
    draws; a patient drawn twice counts as two patients.
    """
    draws = Draws(groups, replicates=replicates, seed=seed)
    models = {}
    for name, score in scores.items():
        has_score = score.notna().to_numpy()
        values = score[has_score].to_numpy(dtype=np.float64)
        models[name] = _ModelMetrics(y[has_score], values, draws.patient_of[has_score], draws, prevalence)
    replicates_of = replicate(models, draws, cells=2 * int(y.sum()) + 1)
    rows = [row for name, model in models.items() for row in model.rows(name, replicates_of[name])]
    return pd.DataFrame(rows, columns=COLUMNS)


class _ModelMetrics:
    """The metrics of one model on the rows that have its score, for any draw of patients."""

    def __init__(
        self, y: Floats, score: Floats, patient_of: NDArray[np.intp], draws: Draws, prevalence: float | None
    ) -> None:
        self._y, self._score, self._prevalence = y, score, prevalence
        at_prevalence = partial(average_precision, prevalence=prevalence)
        self._curve_metrics: Mapping[str, CurveMetric] = {**CURVE_METRICS, AVERAGE_PRECISION: at_prevalence}
        self._pictures = np.bincount(patient_of, minlength=draws.patients)
        self._roc = PatientROC(y, score, patient_of, draws.patients)
        hits = np.where(y == 1, top_chance(score, patient_of), 0.0)
        self._hits = np.bincount(patient_of, weights=hits, minlength=draws.patients)
        self._positives = np.bincount(patient_of, weights=y, minlength=draws.patients)
        self._patients = len(np.unique(patient_of))

    def __call__(self, counts: Floats) -> Floats:
        weights = self._roc(counts)
        return np.vstack([*(metric(weights) for metric in self._curve_metrics.values()), *self._top(counts)])

    def _top(self, counts: Floats) -> tuple[Floats, Floats, Floats]:
        has_positive = self._positives > 0
        shares = self._hits[has_positive] / self._positives[has_positive]
        hits = self._hits @ counts
        per_patient = ratio(shares @ counts[has_positive], counts[has_positive].sum(axis=0))
        return hits, ratio(hits, self._positives @ counts), per_patient

    def rows(self, name: Hashable, values: Floats) -> list[dict[str, object]]:
        """Return the table rows of this model from ``values`` (metrics, 1 + replicates), the sample in column 0."""
        counts = {"rows": len(self._y), "positives": int(self._y.sum()), "patients": self._patients}
        intervals = {
            metric: percentile_interval(row)._asdict() | {"replicates": int((~np.isnan(row[1:])).sum())}
            for metric, row in zip((*CURVE_METRICS, *TOP_METRICS), values, strict=True)
        }
        first = {"auc": intervals.pop("auc"), "auc_delong": self._delong()}
        return [
            {"model": name, "metric": metric, **row, "prevalence": self._prevalence_of(metric), **counts}
            for metric, row in (first | intervals).items()
            if not np.isnan(row["value"]) and (metric not in TOP_METRICS or self._ranks_matter())
        ]

    def _prevalence_of(self, metric: str) -> float:
        if metric != AVERAGE_PRECISION:
            return math.nan
        return float(self._y.mean()) if self._prevalence is None else self._prevalence

    def _ranks_matter(self) -> bool:
        """Return whether a constant score misses so many of the positives that the hits depend on the score."""
        chance = np.minimum(1, TOP / np.maximum(self._pictures, 1))
        return float(self._positives @ chance) < MAX_TOP_CHANCE * float(self._positives.sum())

    def _delong(self) -> dict[str, float]:
        return delong_interval(self._y, self._score)._asdict() | {"replicates": 0}
