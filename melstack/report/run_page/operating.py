"""Measures at every threshold for the page's slider: sensitivity, specificity, predictive values, with intervals."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array

from level2_stack.evaluation.auc import LEVEL, Draws, Floats, ratio, replicate
from level2_stack.evaluation.subgroups import SENSITIVITY, common_threshold

MAX_THRESHOLDS = 400  # on the page: finer steps than a slider has pixels on a phone
MEASURES = ("sensitivity", "specificity", "ppv", "npv")
SENSITIVITIES = (80, SENSITIVITY, 95)
SPECIFICITY = 90


def choose_thresholds(y: Floats, score: Floats, max_count: int = MAX_THRESHOLDS) -> Floats:
    """Return about ``max_count`` scores, ascending, to use as thresholds; all distinct scores if there are fewer.

    Otherwise half are spread evenly over the ranks of all rows and half over the ranks of the positives, which gives
    even steps of specificity and of sensitivity. The thresholds of the preset sensitivities are always included.
    """
    levels = np.unique(score)
    if len(levels) <= max_count:
        return levels
    preset_levels = [common_threshold(y, score, percent) for percent in SENSITIVITIES]
    half = max_count // 2
    chosen_levels = np.concatenate([_spread(levels, half), _spread(np.unique(score[y == 1]), half), preset_levels])
    return np.unique(chosen_levels[~np.isnan(chosen_levels)])


def operating_points(
    y: Floats,
    score: Floats,
    groups: NDArray[np.object_],
    weights: Floats | None = None,
    *,
    max_thresholds: int = MAX_THRESHOLDS,
    replicates: int = 300,
    seed: int = 0,
) -> pd.DataFrame:
    """Return a row per threshold, ascending; a case is predicted malignant if ``score`` (n,) is at or above it.

    ``y`` (n,) is 0/1, ``groups`` (n,) the patients. Columns: ``threshold``; the counts ``true_positives`` and
    ``false_positives``; ``sensitivity, specificity, ppv, npv``, each with ``_low`` and ``_high`` (95 %, patients
    resampled, threshold fixed); ``benefit``, the net benefit (Vickers & Elkin 2006) at this threshold.
    ``weights`` (n,), one value per class, move predictive values and benefit to another prevalence; counts stay counts.
    Only the list of thresholds is shortened: every number is computed over all rows. NaN where a measure is undefined.
    """
    weights = np.ones_like(y) if weights is None else weights
    levels = choose_thresholds(y, score, max_thresholds)
    draws = Draws(groups, replicates=replicates, seed=seed)
    measures = _ThresholdMeasures(y, score, weights, levels, draws)
    estimates = replicate({"": measures}, draws, cells=len(MEASURES) * (len(levels) + 1))[""]
    table = pd.DataFrame(
        {
            "threshold": levels,
            "true_positives": measures.true_positives,
            "false_positives": measures.false_positives,
        }
    )
    for name, values in zip(MEASURES, estimates.reshape(len(MEASURES), len(levels), -1), strict=True):
        table[name] = values[:, 0]
        table[[f"{name}_low", f"{name}_high"]] = _limits(values[:, 1:])
    return table.assign(benefit=measures.benefit())


def presets(table: pd.DataFrame) -> list[dict[str, object]]:
    """Return preset rows of `operating_points`: at least 80, 90, 95 % sensitivity; at least 90 % specificity.

    Each has ``label`` and ``index``: the highest threshold with that sensitivity, the lowest with that specificity.
    """
    rows: list[dict[str, object]] = []
    for percent in SENSITIVITIES:
        indices = np.flatnonzero(table["sensitivity"].to_numpy() >= percent / 100 - 1e-12)
        rows += [{"label": f"{percent} % sensitivity", "index": int(index)} for index in indices[-1:]]
    indices = np.flatnonzero(table["specificity"].to_numpy() >= SPECIFICITY / 100 - 1e-12)
    return rows + [{"label": f"{SPECIFICITY} % specificity", "index": int(index)} for index in indices[:1]]


class _ThresholdMeasures:
    """The measures at every threshold for resampled patients: counts per step between thresholds, summed from above."""

    def __init__(self, y: Floats, score: Floats, weights: Floats, levels: Floats, draws: Draws) -> None:
        step = np.searchsorted(levels, score, side="right")  # the number of thresholds at or below the row's score
        self._levels, self._weight = levels, {value: _first(weights[y == value]) for value in (0, 1)}
        self._counts = {value: _per_step(step, draws, y == value, len(levels)) for value in (0, 1)}
        ones = np.ones((draws.patients, 1))
        self.true_positives, self.false_positives = (
            self._predicted_malignant(value, ones)[0][:, 0].astype(int) for value in (1, 0)
        )
        self._rows = float(weights.sum())

    def __call__(self, counts: Floats) -> Floats:
        true_positives, positives = self._predicted_malignant(1, counts)
        false_positives, negatives = self._predicted_malignant(0, counts)
        of_positive, of_negative = self._weight[1], self._weight[0]
        false_negatives, true_negatives = positives - true_positives, negatives - false_positives
        ppv = ratio(of_positive * true_positives, of_positive * true_positives + of_negative * false_positives)
        npv = ratio(of_negative * true_negatives, of_negative * true_negatives + of_positive * false_negatives)
        return np.concatenate([ratio(true_positives, positives), ratio(true_negatives, negatives), ppv, npv])

    def benefit(self) -> Floats:
        """Return the net benefit per case of the sample at each threshold; NaN at a threshold of 1."""
        odds = ratio(self._levels, 1 - self._levels)
        gain, cost = self._weight[1] * self.true_positives, self._weight[0] * self.false_positives * odds
        benefit: Floats = (gain - cost) / self._rows
        return benefit

    def _predicted_malignant(self, value: int, counts: Floats) -> tuple[Floats, Floats]:
        """Return how many rows of class ``value`` are predicted malignant at each threshold, and how many there are."""
        per_step = self._counts[value] @ counts
        return np.cumsum(per_step[:0:-1], axis=0)[::-1], np.broadcast_to(per_step.sum(axis=0), per_step[1:].shape)


def _per_step(step: NDArray[np.intp], draws: Draws, mask: NDArray[np.bool_], levels: int) -> coo_array:
    entries = (step[mask], draws.patient_of[mask])
    return coo_array((np.ones(int(mask.sum())), entries), shape=(levels + 1, draws.patients)).tocsr()


def _first(values: Floats) -> float:
    return float(values[0]) if len(values) else 0.0


def _spread(values: Floats, max_count: int) -> Floats:
    indices = np.unique(np.linspace(0, len(values) - 1, min(max_count, len(values))).round().astype(np.intp))
    return np.asarray(values[indices], dtype=np.float64)


def _limits(replicates: Floats) -> Floats:
    """Return the 95 % percentile limits of each row, (thresholds, 2); NaN where every replicate is NaN."""
    limits = np.full((len(replicates), 2), np.nan)
    defined_rows = ~np.isnan(replicates).all(axis=1)
    if defined_rows.any():
        quantiles = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
        limits[defined_rows] = np.nanquantile(replicates[defined_rows], quantiles, axis=1).T
    return limits
