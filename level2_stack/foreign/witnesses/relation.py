"""The relation of two columns of scores: a rank correlation, what chance gives, and its spread over patients."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.leaks.cells import STANDARD_ERRORS

Floats = NDArray[np.float64]
REPLICATES = 200
MOST_GROUPS = 2000  # of patients, from which the replicates are drawn; more take time and change nothing
LEAST_ROWS = 20


@dataclass(frozen=True)
class Relation:
    """A rank correlation ``value``, its ``replicates`` over resampled patients, and the standard error of ``chance``.

    ``chance`` is that of the correlation over all permutations of the rows, or of the rows within each patient.
    """

    value: float
    replicates: Floats
    chance: float

    @property
    def is_above_chance(self) -> bool:
        """Return whether the correlation is higher than permuted rows give it."""
        return self.value > STANDARD_ERRORS * self.chance

    @property
    def error(self) -> float:
        """Return the standard error over resampled patients."""
        return float(np.std(self.replicates))


NO_RELATION = Relation(0.0, np.zeros(REPLICATES), 1.0)


@dataclass(frozen=True)
class Pair:
    """The ranks of two columns of scores of the same rows (n,), and the patient of each row as a number (n,)."""

    first: Floats
    second: Floats
    patients: NDArray[np.intp]

    def relation(self) -> Relation:
        """Return the rank correlation over rows."""
        if len(self.first) < LEAST_ROWS:
            return NO_RELATION
        return _relation(self.first, self.second, self.patients, 1 / np.sqrt(len(self.first) - 1))

    def relation_within(self) -> Relation:
        """Return the correlation of the ranks' differences from the patient's mean, of patients with several rows."""
        counts = np.bincount(self.patients)
        several = counts[self.patients] > 1
        if several.sum() < LEAST_ROWS:
            return NO_RELATION
        first, second, patients = _minus_mean(self.first, self), _minus_mean(self.second, self), self.patients
        squares = [np.bincount(patients, each**2) for each in (first, second)]
        # The variance over all permutations within the patients, in closed form.
        variance = (squares[0] * squares[1])[counts > 1] / (counts[counts > 1] - 1)
        scale = squares[0].sum() * squares[1].sum()
        chance = np.sqrt(variance.sum() / scale) if scale > 0 else 1.0
        return _relation(first[several], second[several], patients[several], float(chance))

    def relation_between(self) -> Relation:
        """Return the correlation of the patients' mean ranks."""
        counts = np.bincount(self.patients)
        if (counts > 0).sum() < LEAST_ROWS:
            return NO_RELATION
        means = [
            np.bincount(self.patients, each)[counts > 0] / counts[counts > 0] for each in (self.first, self.second)
        ]
        return _relation(means[0], means[1], np.arange(len(means[0])), 1 / np.sqrt(len(means[0]) - 1))


def pair_of(first: pd.Series, second: pd.Series, patients: pd.Series) -> Pair:
    """Return the pair of the rows that have both scores; ``patients`` are numbers, by the same names."""
    both = pd.DataFrame({"first": first, "second": second}).dropna()
    ranks = both.rank()
    codes = pd.factorize(patients.reindex(both.index))[0]
    return Pair(ranks["first"].to_numpy(), ranks["second"].to_numpy(), codes)


def patient_pair(scores: pd.Series, patients: pd.Series) -> Pair:
    """Return the pair of each score and the mean rank of the same patient's other pictures, where there are some."""
    ranks = scores.dropna().rank()
    groups = ranks.groupby(patients.reindex(ranks.index))
    counts = groups.transform("size")
    others = ((groups.transform("sum") - ranks) / (counts - 1)).where(counts > 1)
    return pair_of(ranks, others, patients)


def ratio(numerator: Relation, denominator: Relation) -> tuple[float, float, float]:
    """Return the ratio of two correlations of different rows, and its interval of three standard errors.

    Without a correlation in the denominator beyond its error the interval has no bounds.
    """
    if denominator.value <= STANDARD_ERRORS * max(denominator.error, denominator.chance) or numerator is NO_RELATION:
        return float("nan"), -np.inf, np.inf
    value = numerator.value / denominator.value
    errors = np.hypot(max(numerator.error, numerator.chance / 2), value * denominator.error) / denominator.value
    return float(value), float(value - STANDARD_ERRORS * errors), float(value + STANDARD_ERRORS * errors)


def patient_numbers(cases: pd.DataFrame) -> pd.Series:
    """Return the patient of every case as a number; a case without a patient is one of its own."""
    patients = cases["patient_id"].astype(object) if "patient_id" in cases else pd.Series(None, index=cases.index)
    numbers = pd.factorize(patients)[0]
    own = numbers.max(initial=0) + 1 + np.arange(len(cases))
    return pd.Series(np.where(numbers < 0, own, numbers), cases.index)


def _minus_mean(values: Floats, pair: Pair) -> Floats:
    counts = np.bincount(pair.patients)
    means = np.bincount(pair.patients, values) / np.maximum(counts, 1)
    return np.asarray(values - means[pair.patients], dtype=np.float64)


def _relation(first: Floats, second: Floats, groups: NDArray[np.intp], chance: float) -> Relation:
    groups = groups % MOST_GROUPS
    first, second = first - first.mean(), second - second.mean()
    columns = (np.ones_like(first), first, second, first**2, second**2, first * second)
    sums = np.stack([np.bincount(groups, column) for column in columns], axis=1)
    values = _correlations(np.vstack([sums.sum(axis=0), _weights(len(sums)) @ sums]))
    return Relation(float(values[0]), values[1:], chance)


@cache
def _weights(groups: int) -> Floats:
    """Return how often each of ``groups`` counts in each replicate, (REPLICATES, groups)."""
    return np.random.default_rng(0).poisson(1.0, (REPLICATES, groups)).astype(np.float64)


def _correlations(sums: Floats) -> Floats:
    """Return a correlation per row of ``sums`` (k, 6): of 1, x, y, x^2, y^2 and xy; 0 for a constant column."""
    count = np.maximum(sums[:, 0], 1)
    x, y, xx, yy, xy = (sums[:, 1:] / count[:, None]).T
    variance = np.maximum(xx - x**2, 0) * np.maximum(yy - y**2, 0)
    safe = np.where(variance > 0, variance, 1)
    return np.asarray(np.where(variance > 0, (xy - x * y) / np.sqrt(safe), 0.0), dtype=np.float64)
