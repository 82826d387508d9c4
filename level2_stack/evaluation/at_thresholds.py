"""Measures of the decision at thresholds: sensitivity, specificity, predictive values, net benefit, with intervals."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array

from level2_stack.evaluation.auc import LEVEL, Draws, Floats, Interval, ratio, replicate

MEASURES = ("sensitivity", "specificity", "ppv", "npv", "net_benefit", "benefit_over_all", "referred")


def measures_at_thresholds(
    y: Floats,
    score: Floats,
    groups: NDArray[np.object_],
    thresholds: Floats,
    weights: Floats | None = None,
    *,
    odds: Floats | None = None,
    replicates: int = 300,
    seed: int = 0,
) -> pd.DataFrame:
    """Return a row per threshold; a case is predicted malignant if ``score`` (n,) is at or above it.

    ``y`` (n,) is 0/1, ``groups`` (n,) the patients, ``thresholds`` (k,) are ascending and distinct. Columns:
    ``threshold``; the counts ``true_positives`` and ``false_positives``; and every one of `MEASURES`, each with
    ``_low`` and ``_high`` (95 %, patients resampled, thresholds fixed). ``net_benefit`` is that of Vickers & Elkin 2006
    per case: a false positive counts ``odds`` (k,) times a true one, by default the odds of the threshold.
    ``benefit_over_all`` is the net benefit minus that of predicting every case malignant. ``referred`` is the share of
    cases predicted malignant. ``weights`` (n,), one value per class, move predictive
    values, net benefit and referred to another prevalence; counts stay counts. NaN where a measure is undefined.
    """
    weights = np.ones_like(y) if weights is None else weights
    odds = ratio(thresholds, 1 - thresholds) if odds is None else odds
    draws = Draws(groups, replicates=replicates, seed=seed)
    measures = _ThresholdMeasures(y, score, weights, thresholds, odds, draws)
    estimates = replicate({"": measures}, draws, cells=len(MEASURES) * (len(thresholds) + 1))[""]
    table = pd.DataFrame(
        {
            "threshold": thresholds,
            "true_positives": measures.true_positives,
            "false_positives": measures.false_positives,
        }
    )
    for name, values in zip(MEASURES, estimates.reshape(len(MEASURES), len(thresholds), -1), strict=True):
        table[name] = values[:, 0]
        table[[f"{name}_low", f"{name}_high"]] = _limits(values[:, 1:])
    return table


def decision_measures(
    y: Floats,
    is_malignant: NDArray[np.bool_],
    groups: NDArray[np.object_],
    threshold: float,
    weights: Floats | None = None,
    *,
    replicates: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return `MEASURES` of decisions ``is_malignant`` (n,), which may come from a threshold per fold, with 95 % limits.

    ``threshold`` is the probability whose odds weigh the false positives of the net benefit; all else is as in
    `measures_at_thresholds`.
    """
    odds = ratio(np.array([threshold]), np.array([1 - threshold]))
    table = measures_at_thresholds(
        y,
        is_malignant.astype(np.float64),
        groups,
        np.ones(1),
        weights,
        odds=odds,
        replicates=replicates,
        seed=seed,
    )
    return {name: Interval(*(float(table[f"{name}{end}"][0]) for end in ("", "_low", "_high"))) for name in MEASURES}


class _ThresholdMeasures:
    """The measures at every threshold for resampled patients: counts per step between thresholds, summed from above."""

    def __init__(
        self, y: Floats, score: Floats, weights: Floats, thresholds: Floats, odds: Floats, draws: Draws
    ) -> None:
        step = np.searchsorted(thresholds, score, side="right")  # the number of thresholds at or below the row's score
        self._odds, self._weight = odds[:, np.newaxis], {value: _first(weights[y == value]) for value in (0, 1)}
        self._counts = {value: _per_step(step, draws, y == value, len(thresholds)) for value in (0, 1)}
        ones = np.ones((draws.patients, 1))
        self.true_positives, self.false_positives = (
            self._predicted_malignant(value, ones)[0][:, 0].astype(int) for value in (1, 0)
        )

    def __call__(self, counts: Floats) -> Floats:
        true_positives, positives = self._predicted_malignant(1, counts)
        false_positives, negatives = self._predicted_malignant(0, counts)
        of_positive, of_negative = self._weight[1], self._weight[0]
        false_negatives, true_negatives = positives - true_positives, negatives - false_positives
        ppv = ratio(of_positive * true_positives, of_positive * true_positives + of_negative * false_positives)
        npv = ratio(of_negative * true_negatives, of_negative * true_negatives + of_positive * false_negatives)
        all_rows = of_positive * positives + of_negative * negatives
        benefit = ratio(of_positive * true_positives - of_negative * false_positives * self._odds, all_rows)
        over_all = ratio(of_negative * true_negatives * self._odds - of_positive * false_negatives, all_rows)
        positive_share = ratio(of_positive * true_positives + of_negative * false_positives, all_rows)
        sensitivity, specificity = ratio(true_positives, positives), ratio(true_negatives, negatives)
        return np.concatenate([sensitivity, specificity, ppv, npv, benefit, over_all, positive_share])

    def _predicted_malignant(self, value: int, counts: Floats) -> tuple[Floats, Floats]:
        """Return how many rows of class ``value`` are predicted malignant at each threshold, and how many there are."""
        per_step = self._counts[value] @ counts
        return np.cumsum(per_step[:0:-1], axis=0)[::-1], np.broadcast_to(per_step.sum(axis=0), per_step[1:].shape)


def _per_step(step: NDArray[np.intp], draws: Draws, mask: NDArray[np.bool_], levels: int) -> coo_array:
    entries = (step[mask], draws.patient_of[mask])
    return coo_array((np.ones(int(mask.sum())), entries), shape=(levels + 1, draws.patients)).tocsr()


def _first(values: Floats) -> float:
    return float(values[0]) if len(values) else 0.0


def _limits(replicates: Floats) -> Floats:
    """Return the 95 % percentile limits of each row, (thresholds, 2); NaN where every replicate is NaN."""
    limits = np.full((len(replicates), 2), np.nan)
    defined_rows = ~np.isnan(replicates).all(axis=1)
    if defined_rows.any():
        quantiles = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
        limits[defined_rows] = np.nanquantile(replicates[defined_rows], quantiles, axis=1).T
    return limits
