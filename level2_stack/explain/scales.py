"""Split a score into one part per column and a base, and carry the split through a function of the score."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

Floats = NDArray[np.float64]
NEAR = 1e-6  # log odds: with a smaller difference, a difference quotient loses its digits


@dataclass(frozen=True)
class Split:
    """A score of n rows, split into ``parts`` (n, columns) and ``base`` (n,), which add up to it."""

    parts: Floats
    base: Floats

    @property
    def total(self) -> Floats:
        """Return the score, base plus parts, (n,)."""
        return np.asarray(self.base + self.parts.sum(axis=1))


def match_total(split: Split, total: Floats) -> Split:
    """Return ``split`` adding up to ``total`` (n,): the difference is added to the parts in proportion to their sizes.

    For rounding differences only (scores are stored as float32, and XGBoost computes in float32). The base does not
    change, except in rows whose parts are all 0.
    """
    difference, sizes = total - split.total, np.abs(split.parts)
    whole = sizes.sum(axis=1)
    shares = np.divide(difference, whole, out=np.zeros_like(whole), where=whole > 0)
    return Split(split.parts + sizes * shares[:, np.newaxis], split.base + np.where(whole > 0, 0.0, difference))


def weighted_sum(splits: Sequence[Split], weights: Sequence[float]) -> Split:
    """Return the split of the weighted sum of the splits' scores; a linear function splits exactly."""
    parts = sum(weight * split.parts for split, weight in zip(splits, weights, strict=True))
    base = sum(weight * split.base for split, weight in zip(splits, weights, strict=True))
    return Split(np.asarray(parts), np.asarray(base))


def apply_function(split: Split, function: Callable[[Floats], Floats]) -> Split:
    """Return the split of ``function(score)``, with ``function`` continuous in log odds: every part times one slope.

    The slope of a row is that of the line from (base, function(base)) to (score, function(score)): the rescale rule of
    DeepLIFT (Shrikumar et al. 2017), which for a function of one sum equals the Aumann-Shapley value. The result is
    exact where the function is linear, keeps the signs where the function increases, and always adds up.
    """
    slopes = _slopes(function, split.total, split.base)
    return match_total(Split(split.parts * slopes[:, np.newaxis], function(split.base)), function(split.total))


def mean_probability(splits: Sequence[Split]) -> Split:
    """Return the split of the log odds of the mean probability of ``splits``, whose scores are log odds."""
    mean = weighted_sum([apply_function(split, expit) for split in splits], [1 / len(splits)] * len(splits))
    slopes = _logit_slopes(mean.total, mean.base)
    return match_total(Split(mean.parts * slopes[:, np.newaxis], logit(mean.base)), logit(mean.total))


def _slopes(function: Callable[[Floats], Floats], score: Floats, base: Floats) -> Floats:
    gap, middle = score - base, (score + base) / 2
    near = np.abs(gap) < NEAR
    low, high = np.where(near, middle - NEAR, base), np.where(near, middle + NEAR, score)
    return np.asarray((function(high) - function(low)) / (high - low))


def _logit_slopes(p: Floats, start: Floats) -> Floats:
    """Return (logit p - logit start) / (p - start), without loss of digits where the two are close."""
    gap = p - start
    rise = np.log1p(gap / start) - np.log1p(-gap / (1 - start))
    return np.asarray(np.divide(rise, gap, out=1 / (start * (1 - start)), where=gap != 0))
