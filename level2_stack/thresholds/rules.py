"""The rules that choose a threshold from scored rows, so that new cases of the same clinic reach the aim on average."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from level2_stack.evaluation.auc import ratio
from level2_stack.thresholds.settings import Rule

Floats = NDArray[np.float64]
CERTAIN = 1e-9  # of a rank: (1 - 0.9) * 10 is less than 1 as a float


class Choice(NamedTuple):
    """A threshold, at or above which a case is predicted malignant, and why the aim cannot be reached ("": it can)."""

    threshold: float
    note: str = ""


def choose_threshold(rule: Rule, aim: float, y: Floats, probability: Floats, weights: Floats) -> Choice:
    """Return the threshold of ``rule`` for ``y`` (n,) in 0/1, which has both classes, and ``probability`` (n,).

    ``weights`` (n,), one value per class, give the rows the prevalence where the threshold will be used.
    """
    match rule:
        case "sensitivity":
            return at_sensitivity(probability[y == 1], aim)
        case "specificity":
            return at_specificity(probability[y == 0], aim)
        case "npv":
            return at_npv(y, probability, weights, aim)
        case "net_benefit":
            return Choice(at_cost(aim))


def at_sensitivity(positives: Floats, aim: float) -> Choice:
    """Return the threshold that the share ``aim`` of new malignant cases reaches, from the scores of n ``positives``.

    A new case lies below the k-th lowest of n scores with probability k / (n + 1), for every continuous distribution
    (Weibull 1939), so k = (1 - aim) (n + 1). Taking instead the highest threshold that the share ``aim`` of the n cases
    themselves reaches would find 0.857 of new malignant cases for an aim of 0.9 and n = 20.
    """
    rank = (1 - aim) * (len(positives) + 1)
    if rank < 1 - CERTAIN:
        return Choice(float(positives.min()), _too_few("malignant", len(positives), aim))
    return Choice(_between_ranks(np.sort(positives), rank))


def at_specificity(negatives: Floats, aim: float) -> Choice:
    """Return the threshold below which the share ``aim`` of new benign cases lies, as in `at_sensitivity`."""
    in_order, rank = np.sort(negatives), aim * (len(negatives) + 1)
    if rank > len(negatives) + CERTAIN:
        return Choice(float(in_order[-1]), _too_few("benign", len(negatives), aim))
    threshold = _between_ranks(in_order, rank)
    if np.count_nonzero(in_order == threshold) > 1:  # equal scores: all of them are predicted benign
        threshold = float(np.nextafter(threshold, 1.0))
    return Choice(threshold)


def at_npv(y: Floats, probability: Floats, weights: Floats, aim: float) -> Choice:
    """Return the highest threshold below which at most the share 1 - ``aim`` of new cases is malignant.

    The highest of many thresholds is chosen, and it looks safer than it is. So one malignant case more is counted than
    there is below each, with which the expected share keeps the aim (Barber & Candès 2015). Where no threshold does, it
    is 0, and every case is predicted malignant.
    """
    levels, level_of = np.unique(probability, return_inverse=True)
    of_class = [float(weights[y == value][0]) for value in (0, 1)]
    below = [np.r_[0, np.cumsum(np.bincount(level_of[y == value], minlength=len(levels)))] for value in (0, 1)]
    benign, malignant = of_class[0] * below[0], of_class[1] * (below[1] + 1)
    is_safe = malignant <= (1 - aim + CERTAIN) * (malignant + benign)
    if not is_safe.any():
        return Choice(0.0, f"the {len(y):,} cases are too few, or too alike, for this NPV: every case is referred")
    return Choice(float(np.r_[levels, 1.0][np.flatnonzero(is_safe)[-1]]))


def at_cost(cost: float) -> float:
    """Return the probability above which an excision is worth it, if a missed melanoma costs ``cost`` excisions.

    It is 1 / (1 + cost) (Pauker & Kassirer 1975): the probabilities are calibrated, on inner folds too. The threshold
    with the highest net benefit among the rows themselves varies much more from sample to sample.
    """
    return float(ratio(np.array(1.0), np.array(1.0 + cost)))


def _between_ranks(in_order: Floats, rank: float) -> float:
    """Return the score at ``rank`` (from 1) of ``in_order``, linear between two ranks."""
    nearest = round(rank) if abs(rank - round(rank)) < CERTAIN else rank
    return float(np.interp(nearest, np.arange(1, len(in_order) + 1), in_order))


def _too_few(name: str, count: int, aim: float) -> str:
    minimum = int(np.ceil(1 / (1 - aim) - CERTAIN)) - 1
    return f"{count} {name} cases are too few for this aim, which takes {minimum} or more"
