"""What every threshold does: sensitivity, specificity and predictive values, with intervals, for the page's slider."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array

from level2_stack.evaluation.auc import LEVEL, Draws, Floats, ratio, replicated
from level2_stack.evaluation.subgroups import SENSITIVITY, common_threshold

MOST = 400  # thresholds on the page: finer steps than a slider has pixels on a phone
MEASURES = ("sensitivity", "specificity", "ppv", "npv")
SENSITIVITIES = (80, SENSITIVITY, 95)
SPECIFICITY = 90


def thresholds_of(y: Floats, score: Floats, most: int = MOST) -> Floats:
    """Return at most about ``most`` scores, ascending, to cut at: all where there are few.

    Of many, half are spread evenly over the ranks of all rows and half over those of the positives, which are even
    steps of specificity and of sensitivity; the thresholds of round sensitivities are always among them.
    """
    levels = np.unique(score)
    if len(levels) <= most:
        return levels
    round_ones = [common_threshold(y, score, percent) for percent in SENSITIVITIES]
    kept = np.concatenate([_spread(levels, most // 2), _spread(np.unique(score[y == 1]), most // 2), round_ones])
    return np.unique(kept[~np.isnan(kept)])


def operating_points(
    y: Floats,
    score: Floats,
    groups: NDArray[np.object_],
    weights: Floats | None = None,
    *,
    most: int = MOST,
    replicates: int = 300,
    seed: int = 0,
) -> pd.DataFrame:
    """Return a row per threshold, ascending; a case is called malignant where ``score`` (n,) is at or above it.

    ``y`` (n,) is 0/1, ``groups`` (n,) the patients. Columns: ``threshold``; the counts ``caught`` (true positives) and
    ``alarms`` (false positives); ``sensitivity, specificity, ppv, npv``, each with ``_low`` and ``_high`` (95 %,
    patients resampled, the threshold held); ``benefit``, the net benefit of Vickers & Elkin 2006 at this threshold.
    ``weights`` (n,), one value per class, put predictive values and benefit at another prevalence; counts stay counts.
    Nothing is thinned but the list of thresholds: every number is over all rows. NaN where nothing can be said.
    """
    weights = np.ones_like(y) if weights is None else weights
    levels = thresholds_of(y, score, most)
    draws = Draws(groups, replicates=replicates, seed=seed)
    measured = _Measured(y, score, weights, levels, draws)
    drawn = replicated({"": measured}, draws, cells=len(MEASURES) * (len(levels) + 1))[""]
    table = pd.DataFrame({"threshold": levels, "caught": measured.caught, "alarms": measured.alarms})
    for name, values in zip(MEASURES, drawn.reshape(len(MEASURES), len(levels), -1), strict=True):
        table[name] = values[:, 0]
        table[[f"{name}_low", f"{name}_high"]] = _limits(values[:, 1:])
    return table.assign(benefit=measured.benefit())


def presets(table: pd.DataFrame) -> list[dict[str, object]]:
    """Return named rows of ``operating_points``: at least 80, 90, 95 % sensitivity; at least 90 % specificity.

    Each has ``label`` and ``index``: the highest threshold of that sensitivity, the lowest of that specificity.
    """
    found: list[dict[str, object]] = []
    for percent in SENSITIVITIES:
        reached = np.flatnonzero(table["sensitivity"].to_numpy() >= percent / 100 - 1e-12)
        found += [{"label": f"{percent} % sensitivity", "index": int(at)} for at in reached[-1:]]
    spared = np.flatnonzero(table["specificity"].to_numpy() >= SPECIFICITY / 100 - 1e-12)
    return found + [{"label": f"{SPECIFICITY} % specificity", "index": int(at)} for at in spared[:1]]


class _Measured:
    """The measures at every threshold for the patients drawn: counts per step, summed from above."""

    def __init__(self, y: Floats, score: Floats, weights: Floats, levels: Floats, draws: Draws) -> None:
        step = np.searchsorted(levels, score, side="right")  # how many thresholds a row is at or above
        self._levels, self._weight = levels, {value: _first(weights[y == value]) for value in (0, 1)}
        self._counted = {value: _per_step(step, draws, y == value, len(levels)) for value in (0, 1)}
        ones = np.ones((draws.patients, 1))
        self.caught, self.alarms = (self._called(value, ones)[0][:, 0].astype(int) for value in (1, 0))
        self._rows = float(weights.sum())

    def __call__(self, counts: Floats) -> Floats:
        (caught, positives), (alarms, negatives) = self._called(1, counts), self._called(0, counts)
        of_positive, of_negative = self._weight[1], self._weight[0]
        missed, spared = positives - caught, negatives - alarms
        ppv = ratio(of_positive * caught, of_positive * caught + of_negative * alarms)
        npv = ratio(of_negative * spared, of_negative * spared + of_positive * missed)
        return np.concatenate([ratio(caught, positives), ratio(spared, negatives), ppv, npv])

    def benefit(self) -> Floats:
        """Return the net benefit of the sample at each threshold, per case; NaN at a threshold of 1."""
        odds = ratio(self._levels, 1 - self._levels)
        benefit: Floats = (self._weight[1] * self.caught - self._weight[0] * self.alarms * odds) / self._rows
        return benefit

    def _called(self, value: int, counts: Floats) -> tuple[Floats, Floats]:
        per_step = self._counted[value] @ counts
        return np.cumsum(per_step[:0:-1], axis=0)[::-1], np.broadcast_to(per_step.sum(axis=0), per_step[1:].shape)


def _per_step(step: NDArray[np.intp], draws: Draws, kept: NDArray[np.bool_], levels: int) -> coo_array:
    entries = (step[kept], draws.patient_of[kept])
    return coo_array((np.ones(int(kept.sum())), entries), shape=(levels + 1, draws.patients)).tocsr()


def _first(values: Floats) -> float:
    return float(values[0]) if len(values) else 0.0


def _spread(values: Floats, most: int) -> Floats:
    places = np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(np.intp))
    return np.asarray(values[places], dtype=np.float64)


def _limits(drawn: Floats) -> Floats:
    """Return the 95 % percentile limits of each row, (thresholds, 2); NaN where no replicate says anything."""
    found = np.full((len(drawn), 2), np.nan)
    known = ~np.isnan(drawn).all(axis=1)
    if known.any():
        found[known] = np.nanquantile(drawn[known], [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1).T
    return found
