"""The learning curve over patients: AUC at growing shares of the training patients, and what twice as many give."""

import warnings
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import OptimizeWarning, curve_fit

from level2_stack.evaluation.auc import Interval, auc_replicates, percentile_interval
from level2_stack.outlook.refit import Part, rows_of_part

Floats = NDArray[np.float64]
SHARES = (0.2, 0.35, 0.5, 0.7, 1.0)
DRAWS, DRAWS_OF_MANY = 6, 3  # per share
MANY = 10_000  # rows: there the draws of a share differ less, and a fit takes longer
REPLICATES = 200
SMALL = 0.002  # of AUC: too small a gain to collect twice the patients
WIDE = 0.02  # of AUC: an interval of this width holds both "no gain" and "a gain worth the work"
COLUMNS = ["what", "kind", "share", "patients", "auc", "low", "high", "lowest_draw", "highest_draw"]


class Growth(NamedTuple):
    """A learning curve: a row per share, the observed gain from half to all patients, and the gain of twice as many."""

    table: pd.DataFrame
    from_half: Interval
    of_double: Interval

    def verdict(self) -> str:
        """Return in a few words whether more patients help."""
        if self.of_double.low > 0 and self.of_double.value >= SMALL:
            return "more patients help"
        if self.of_double.high < SMALL:
            return "the curve is flat: more patients of the same kind add little"
        if self.of_double.high - self.of_double.low > WIDE:
            return "too noisy to say"
        return "a small gain at most; 0 is not excluded" if self.of_double.low <= 0 else "a small gain"


def curve_parts(rows: int) -> list[Part]:
    """Return the parts of the patients that the learning curve of a table of ``rows`` is measured on."""
    return [Part(share, draw) for share in SHARES for draw in range(DRAWS if rows < MANY else DRAWS_OF_MANY)]


def patients_of_shares(y: Floats, folds: NDArray[np.integer], groups: NDArray[np.object_]) -> dict[float, float]:
    """Return share -> the mean number of patients that a fit of the curve is trained on."""
    part = 1 - 1 / len(np.unique(folds))
    return {
        share: part * len(np.unique(groups[rows_of_part(Part(share), y, folds, groups)].astype(str)))
        for share in SHARES
    }


def growth(
    what: str, y: Floats, scores: Mapping[Part, Floats], groups: NDArray[np.object_], patients: Mapping[float, float]
) -> Growth:
    """Return the learning curve of ``what`` from the out-of-fold ``scores`` (n,) of every part.

    ``patients`` is the number of training patients of each share. Intervals come from patients drawn with replacement,
    together with a new choice of draws; the curve is fitted again to each replicate.
    """
    frame = pd.DataFrame({str(part): score for part, score in scores.items()})
    pairs = [(name, name) for name in frame]
    by_pair = auc_replicates(y, frame, groups, pairs, replicates=REPLICATES, seed=0)
    shares = sorted({part.share for part in scores})
    draws = sorted({part.draw for part in scores})
    aucs = np.array([[by_pair[(str(Part(s, d)),) * 2] for d in draws] for s in shares])  # shares, draws, 1 + replicates
    means = _resample_draws(aucs)
    gains = np.array([double_gain(np.array(shares), column) for column in means.T])
    half = percentile_interval(means[-1] - means[_nearest(shares, 0.5)])
    of_double = percentile_interval(gains)
    rows = [
        [what, "measured", s, patients[s], *percentile_interval(means[i]), aucs[i, :, 0].min(), aucs[i, :, 0].max()]
        for i, s in enumerate(shares)
    ]
    ahead = percentile_interval(means[-1] + gains)
    rows.append([what, "predicted", 2.0, 2 * patients[shares[-1]], *ahead, np.nan, np.nan])
    return Growth(pd.DataFrame(rows, columns=COLUMNS), half, of_double)


def double_gain(shares: Floats, aucs: Floats) -> float:
    """Return the gain of AUC from share 1 to share 2 by a power law, AUC(x) = full - size (x^-rate - 1).

    The form is that of Hestness et al. 2017 with the AUC at x = 1 as a parameter. ``size`` may be negative, so that a
    flat curve gives gains on both sides of 0. Returns NaN if no curve fits, or an AUC is missing.
    """
    if np.isnan(aucs).any():
        return float("nan")
    bounds = ([0.0, -1.0, 0.1], [1.0, 1.0, 2.0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)  # a flat curve has no rate, and needs none
        start = (float(np.clip(aucs[-1], 0.01, 0.99)), 0.01, 0.5)
        try:
            (_, size, rate), _ = curve_fit(power_law, shares, aucs, p0=start, bounds=bounds)
        except RuntimeError:
            return float("nan")
    return float(size * (1 - 2.0**-rate))


def power_law(x: Floats, full: float, size: float, rate: float) -> Floats:
    """Return the AUC at the shares ``x`` of today's patients."""
    return np.asarray(full - size * (x**-rate - 1))


def _resample_draws(aucs: Floats) -> Floats:
    """Return the mean over the draws (shares, 1 + replicates): of all draws first, then of draws with replacement."""
    random, count = np.random.default_rng(0), aucs.shape[1]
    means = aucs.mean(axis=1)
    for number in range(1, aucs.shape[2]):
        means[:, number] = aucs[:, random.integers(count, size=count), number].mean(axis=1)
    return np.asarray(means)


def _nearest(shares: list[float], value: float) -> int:
    return int(np.argmin(np.abs(np.array(shares) - value)))
