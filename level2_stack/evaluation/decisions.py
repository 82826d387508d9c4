"""The measures of a decision, predicted malignant or benign, with intervals that resample patients."""

import numpy as np
from numpy.typing import NDArray

from level2_stack.evaluation.auc import Draws, Floats, Interval, percentile_interval, ratio, replicate

MEASURES = ("sensitivity", "specificity", "ppv", "npv", "net_benefit", "referred")


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
    """Return every one of `MEASURES` of the decisions ``is_malignant`` (n,) for ``y`` (n,) in 0/1, with 95 % limits.

    ``groups`` (n,) are the patients, who are drawn with replacement; the decisions do not change. ``net_benefit`` is
    that of Vickers & Elkin 2006 per case, where ``threshold`` is the probability that weighs false positives, and
    ``referred`` the share of cases predicted malignant. ``weights`` (n,), one value per class, move predictive values,
    net benefit and referred to another prevalence. NaN where a measure is undefined.
    """
    draws = Draws(groups, replicates=replicates, seed=seed)
    measures = _Decisions(y, is_malignant, np.ones_like(y) if weights is None else weights, threshold, draws)
    values = replicate({"": measures}, draws, cells=len(MEASURES))[""]
    return {name: percentile_interval(row) for name, row in zip(MEASURES, values, strict=True)}


class _Decisions:
    """Weights of true and false decisions per patient, and the measures for any draw of patients."""

    def __init__(
        self, y: Floats, is_malignant: NDArray[np.bool_], weights: Floats, threshold: float, draws: Draws
    ) -> None:
        outcomes = [
            (y == 1) & is_malignant,
            (y == 0) & is_malignant,
            (y == 0) & ~is_malignant,
            (y == 1) & ~is_malignant,
        ]
        self._per_patient = np.stack(
            [np.bincount(draws.patient_of, weights * rows, minlength=draws.patients) for rows in outcomes]
        )
        self._odds = float(ratio(np.array(threshold), np.array(1 - threshold)))

    def __call__(self, counts: Floats) -> Floats:
        true_positive, false_positive, true_negative, false_negative = self._per_patient @ counts
        total = true_positive + false_positive + true_negative + false_negative
        return np.stack(
            [
                ratio(true_positive, true_positive + false_negative),
                ratio(true_negative, true_negative + false_positive),
                ratio(true_positive, true_positive + false_positive),
                ratio(true_negative, true_negative + false_negative),
                ratio(true_positive - self._odds * false_positive, total),
                ratio(true_positive + false_positive, total),
            ]
        )
