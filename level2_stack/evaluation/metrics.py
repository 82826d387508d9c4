"""What a score is worth at the bedside: partial AUC, precision, working points and top-15 hits, with intervals."""

from collections.abc import Callable, Hashable, Mapping
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from level2_stack.evaluation.auc import (
    Draws,
    Floats,
    PatientROC,
    Standing,
    delong_interval,
    percentile_interval,
    ratio,
    replicate,
)

TOP = 15  # pictures of a patient that a physician has the time to look at: the second prize of ISIC 2024
LEAST_SENSITIVITY = 80  # percent; the ROC curve below it is of no clinical use: the first prize of ISIC 2024
PERCENTS = (95, 90, 80)


def partial_area(standing: Standing, percent: int = LEAST_SENSITIVITY) -> Floats:
    """Return the area under the ROC curve and above ``percent`` sensitivity, (b,): the metric of ISIC 2024.

    With labels and scores flipped it is the plain area left of max_fpr = 1 - percent / 100, so it lies between 0 and
    1 - percent / 100 (0.2 for 80 %), and a score that knows nothing has half that number squared (0.02). Between
    points the curve is a straight line. NaN where one class lacks.
    """
    positives, positive = standing.positives, standing.positive
    missed = np.cumsum(positive, axis=0) - positive  # positives lower than each score: the flipped curve's abscissa
    width = np.clip((100 - percent) / 100 * positives - missed, 0, positive)
    # The curve rises from `below` by `tied` while it crosses the positives of one score, of which `width` are counted.
    middle = standing.below + standing.tied / 2 * width / np.where(positive == 0, 1, positive)
    return ratio((width * middle).sum(axis=0), positives * standing.negative)


def average_precision(standing: Standing) -> Floats:
    """Return the average precision, (b,): the mean over positives of the precision at their own score.

    Scores equal to a positive's count as called. A score that knows nothing has the prevalence. NaN where no positive.
    """
    called = _caught(standing)
    precision = ratio(called, called + standing.negative - standing.below)
    reached = np.where(standing.positive == 0, 0.0, standing.positive * precision).sum(axis=0)
    return ratio(reached, standing.positives * (standing.negative > 0))


def sensitivity_at(standing: Standing, specificity: int) -> Floats:
    """Return the highest sensitivity, (b,), of any threshold whose specificity is at least ``specificity`` percent.

    A row is called malignant where its score is at or above the threshold; no interpolation. NaN where one class lacks.
    """
    # Whole numbers, so that 19 of 20 are 95 % without rounding.
    allowed = 100 * standing.below >= specificity * standing.negative
    caught = np.where(allowed, _caught(standing), 0.0).max(axis=0, initial=0.0)
    return ratio(caught, standing.positives * (standing.negative > 0))


def specificity_at(standing: Standing, sensitivity: int) -> Floats:
    """Return the highest specificity, (b,), of any threshold whose sensitivity is at least ``sensitivity`` percent.

    A row is called malignant where its score is at or above the threshold; no interpolation. NaN where one class lacks.
    """
    allowed = 100 * _caught(standing) >= sensitivity * standing.positives
    spared = np.where(allowed, standing.below, 0.0).max(axis=0, initial=0.0)
    return ratio(spared, standing.negative * (standing.positives > 0))


def _caught(standing: Standing) -> Floats:
    """Return the weight of positives at or above each score."""
    return np.asarray(np.cumsum(standing.positive[::-1], axis=0)[::-1])


CURVE_METRICS: Mapping[str, Callable[[Standing], Floats]] = {
    "auc": Standing.area,
    f"partial_auc_above_{LEAST_SENSITIVITY}_sensitivity": partial_area,
    "average_precision": average_precision,
    **{f"sensitivity_at_{p}_specificity": partial(sensitivity_at, specificity=p) for p in PERCENTS},
    **{f"specificity_at_{p}_sensitivity": partial(specificity_at, sensitivity=p) for p in PERCENTS},
}
TOP_METRICS = (f"top{TOP}_hits", f"top{TOP}_sensitivity", f"top{TOP}_patient_sensitivity")


def top_chance(score: Floats, patient_of: NDArray[np.intp], top: int = TOP) -> Floats:
    """Return the chance, (n,), of each picture to stand among the ``top`` highest scores of its patient.

    1 or 0, and between them only for pictures that share one score across the last place: equal scores are taken in
    random order, so a constant score hits what chance would. ``patient_of`` (n,) numbers the patients.
    """
    order = np.lexsort((-score, patient_of))
    patient, ordered = patient_of[order], score[order]
    place = np.arange(len(order))
    of_patient = np.r_[True, patient[1:] != patient[:-1]][: len(order)]
    of_tie = of_patient | np.r_[True, ordered[1:] != ordered[:-1]][: len(order)]
    starts = np.flatnonzero(of_tie)
    tied = np.diff(np.r_[starts, len(order)])
    above = starts - np.maximum.accumulate(np.where(of_patient, place, 0))[starts]
    chance = np.empty(len(order))
    chance[order] = np.repeat(np.clip((top - above) / tied, 0, 1), tied)
    return chance


def clinical_metrics(
    y: Floats, scores: pd.DataFrame, groups: NDArray[np.object_], *, replicates: int = 500, seed: int = 0
) -> pd.DataFrame:
    """Return one row per model and metric: what the score is worth, and the 95 % interval, patients resampled.

    ``y`` (n,) is 0/1, ``scores`` n x models, ``groups`` (n,) the patients. Columns ``model, metric, value, low, high,
    replicates`` (how many of those drawn say something: a draw without one of the classes does not) and ``rows,
    positives, patients`` on which the model was scored: those where it is not NaN.

    Metrics: ``auc``; ``auc_delong``, the same with the normal interval of DeLong et al. 1988, which takes pictures of
    a patient as independent and draws no replicate; ``partial_auc_above_80_sensitivity`` (0 to 0.2; see
    `partial_area`); ``average_precision``; ``sensitivity_at_95_specificity`` and so on, the best that a threshold
    reaches, chosen anew in each replicate; ``top15_hits``, how many positives stand among the 15 highest-scored
    pictures of their own patient; ``top15_sensitivity``, their share of all positives; ``top15_patient_sensitivity``,
    the mean of that share over the patients who have a positive. A patient with 15 pictures or fewer always hits.
    All models meet the same draws; a patient drawn twice counts as two patients.
    """
    draws = Draws(groups, replicates=replicates, seed=seed)
    kept = {name: score.notna().to_numpy() for name, score in scores.items()}
    clinics = {
        name: _Clinic(y[kept[name]], score[kept[name]].to_numpy(dtype=np.float64), draws.patient_of[kept[name]], draws)
        for name, score in scores.items()
    }
    found = replicate(clinics, draws, cells=2 * int(y.sum()) + 1)
    rows = [row for name, clinic in clinics.items() for row in clinic.rows(name, found[name])]
    return pd.DataFrame(rows)


class _Clinic:
    """One model on its own rows: every metric of the patients drawn."""

    def __init__(self, y: Floats, score: Floats, patient_of: NDArray[np.intp], draws: Draws) -> None:
        self._y, self._score = y, score
        self._roc = PatientROC(y, score, patient_of, draws.patients)
        hits = np.where(y == 1, top_chance(score, patient_of), 0.0)
        self._hits = np.bincount(patient_of, weights=hits, minlength=draws.patients)
        self._positives = np.bincount(patient_of, weights=y, minlength=draws.patients)
        self._patients = len(np.unique(patient_of))

    def __call__(self, counts: Floats) -> Floats:
        standing = self._roc(counts)
        return np.vstack([*(metric(standing) for metric in CURVE_METRICS.values()), *self._top(counts)])

    def _top(self, counts: Floats) -> tuple[Floats, Floats, Floats]:
        affected = self._positives > 0
        shares = self._hits[affected] / self._positives[affected]
        hits = self._hits @ counts
        per_patient = ratio(shares @ counts[affected], counts[affected].sum(axis=0))
        return hits, ratio(hits, self._positives @ counts), per_patient

    def rows(self, name: Hashable, found: Floats) -> list[dict[str, object]]:
        """Return the rows of this model from its metrics, of the sample and of the replicates."""
        about = {"rows": len(self._y), "positives": int(self._y.sum()), "patients": self._patients}
        drawn = {
            metric: percentile_interval(values)._asdict() | {"replicates": int((~np.isnan(values[1:])).sum())}
            for metric, values in zip((*CURVE_METRICS, *TOP_METRICS), found, strict=True)
        }
        first = {"auc": drawn.pop("auc"), "auc_delong": self._delong()}
        return [{"model": name, "metric": metric, **row, **about} for metric, row in (first | drawn).items()]

    def _delong(self) -> dict[str, float]:
        return delong_interval(self._y, self._score)._asdict() | {"replicates": 0}
