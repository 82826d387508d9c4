"""The AUC of a score and its uncertainty: exact AUC, intervals by resampling patients, DeLong's variance."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.stats import norm, rankdata
from sklearn.metrics import roc_auc_score

Floats = NDArray[np.float64]
Pair = tuple[Hashable, Hashable]
Key = TypeVar("Key", bound=Hashable)
LEVEL = 0.95
BATCH_CELLS = 250_000  # in each array of one batch of replicates: 2 MB, which fits into a processor's cache


class Interval(NamedTuple):
    """An estimate and its 95 % limits."""

    value: float
    low: float
    high: float


def auc(y: Floats, score: Floats) -> float:
    """Return the exact area under the ROC curve of ``score`` (n,) for ``y`` (n,) in 0/1; NaN with one class."""
    return float(roc_auc_score(y, score)) if 0 < y.sum() < len(y) else float("nan")


class RocWeights(NamedTuple):
    """Weights of positives and negatives at every distinct score of a positive, ascending, under b weightings of rows.

    For such a score t, a row of the arrays (scores, b) has: ``positives_at`` and ``negatives_at``, the weights of the
    positives and of the negatives with score t, and ``negatives_below``, the weight of the negatives with a lower
    score; ``all_negatives`` (b,) is the weight of all negatives. Every measure of the ROC or precision-recall curve can
    be computed from them, because between these scores only the specificity changes.
    """

    positives_at: Floats
    negatives_at: Floats
    negatives_below: Floats
    all_negatives: Floats

    @property
    def all_positives(self) -> Floats:
        """Return the weight of all positives, (b,)."""
        return np.asarray(self.positives_at.sum(axis=0))

    def area(self) -> Floats:
        """Return the AUC, (b,): the share of pairs in which the positive has the higher score, ties half; or NaN."""
        wins = (self.positives_at * (self.negatives_below + self.negatives_at / 2)).sum(axis=0)
        return ratio(wins, self.all_positives * self.all_negatives)


class PatientROC:
    """The ROC curve of one score under many weightings of the patients; the rows are sorted only once.

    ``y`` and ``score`` are (n,), ``patient_of`` (n,) the number of each row's patient. A weighting takes at most one
    multiplication per row: a patient's negatives between two neighbouring positives are one entry.
    """

    def __init__(self, y: Floats, score: Floats, patient_of: NDArray[np.intp], patients: int) -> None:
        positive = y == 1
        levels, level_of = np.unique(score[positive], return_inverse=True)
        lower = np.searchsorted(levels, score[~positive], side="left")
        is_tie = np.searchsorted(levels, score[~positive], side="right") > lower
        self._positive = _count_rows(level_of, patient_of[positive], (len(levels), patients))
        self._negative = _count_rows(2 * lower + is_tie, patient_of[~positive], (2 * len(levels) + 1, patients))

    def __call__(self, counts: Floats) -> RocWeights:
        """Return the weights if each patient counts ``counts`` (patients, b) >= 0 times."""
        negatives = self._negative @ counts  # even entries are between two levels, odd entries at a level
        cumulative = np.cumsum(negatives, axis=0)
        return RocWeights(self._positive @ counts, negatives[1::2], cumulative[:-1:2], cumulative[-1])


def _count_rows(entry_of: NDArray[np.intp], patient_of: NDArray[np.intp], shape: tuple[int, int]) -> coo_array:
    """Return the number of rows per entry and patient."""
    return coo_array((np.ones(len(entry_of)), (entry_of, patient_of)), shape=shape).tocsr()


def ratio(part: Floats, whole: Floats) -> Floats:
    """Return ``part / whole`` of two arrays of one shape, NaN where the whole is 0."""
    return np.asarray(part / np.where(whole == 0, np.nan, whole))


class Draws:
    """Random draws of patients with replacement; each call of ``batches`` repeats them, so that results are paired."""

    def __init__(self, groups: NDArray[np.object_], *, replicates: int, seed: int) -> None:
        self.patient_of, names = pd.factorize(groups, sort=True, use_na_sentinel=False)
        self.patients, self.replicates, self._seed = len(names), replicates, seed

    def batches(self, width: int) -> Iterator[Floats]:
        """Yield counts of draws (patients, b), b <= ``width``; the first column is the sample: every patient once."""
        random = np.random.default_rng(self._seed)
        yield np.ones((self.patients, 1))
        for start in range(0, self.replicates, width):
            count = min(width, self.replicates - start)
            yield np.stack([self._draw(random) for _ in range(count)], axis=1)

    def _draw(self, random: np.random.Generator) -> Floats:
        patients = random.integers(self.patients, size=self.patients)
        return np.bincount(patients, minlength=self.patients).astype(np.float64)


def replicate(statistics: Mapping[Key, Callable[[Floats], Floats]], draws: Draws, *, cells: int) -> dict[Key, Floats]:
    """Return every statistic of the sample (column 0) and of each replicate, k x (1 + replicates).

    A statistic takes counts (patients, b) and returns k x b. ``cells`` is the size of the largest array of one
    replicate; the size of batches is chosen so that memory grows with the table, not with the number of replicates.
    """
    parts: dict[Key, list[Floats]] = {key: [] for key in statistics}
    for counts in draws.batches(max(1, BATCH_CELLS // max(cells, draws.patients))):
        for key, statistic in statistics.items():
            parts[key].append(statistic(counts))
    return {key: np.concatenate(part, axis=1) for key, part in parts.items()}


def percentile_interval(values: Floats) -> Interval:
    """Return ``values[0]`` with the 95 % percentile limits of the other values; NaN among them is left out."""
    replicates = values[1:][~np.isnan(values[1:])]
    if not len(replicates):
        return Interval(float(values[0]), float("nan"), float("nan"))
    low, high = np.quantile(replicates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(values[0]), float(low), float(high))


def auc_replicates(
    y: Floats, scores: pd.DataFrame, groups: NDArray[np.object_], pairs: Iterable[Pair], *, replicates: int, seed: int
) -> dict[Pair, Floats]:
    """Return for every pair (a, b) of ``pairs`` the AUC of model a on the rows where a and b are both not NaN.

    Each result is (1 + replicates,): of the sample, then of the replicates, which are the same draws of patients for
    all pairs. A model is computed once per set of rows; without missing scores, that is once per model for any number
    of pairs.
    """
    present = {name: score.notna().to_numpy() for name, score in scores.items()}
    draws = Draws(groups, replicates=replicates, seed=seed)
    keys = {(a, b): (a, (present[a] & present[b]).tobytes()) for a, b in pairs}
    areas: dict[tuple[Hashable, bytes], _Area] = {}
    for (a, b), key in keys.items():
        if key not in areas:
            areas[key] = _Area(y, scores[a].to_numpy(dtype=np.float64), present[a] & present[b], draws)
    replicated_areas = replicate(areas, draws, cells=2 * int(y.sum()) + 1)
    return {pair: replicated_areas[key][0] for pair, key in keys.items()}


class _Area:
    def __init__(self, y: Floats, score: Floats, rows: NDArray[np.bool_], draws: Draws) -> None:
        self._roc = PatientROC(y[rows], score[rows], draws.patient_of[rows], draws.patients)

    def __call__(self, counts: Floats) -> Floats:
        return self._roc(counts).area()[np.newaxis]


def patient_bootstrap(
    y: Floats,
    scores: pd.DataFrame,
    groups: NDArray[np.object_],
    *,
    reference: str | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return AUC and 95 % percentile interval of every column of ``scores``, resampling patients with replacement.

    ``y`` (n,) is 0/1, ``scores`` n x models, ``groups`` (n,) the patients. A model is scored on the rows where it is
    not NaN. The result has a row per model and columns ``auc, low, high`` and, with a ``reference`` among the models,
    ``gain, gain_low, gain_high``: the reference's AUC minus the model's, over the rows both have, paired by replicate.
    Replicates with one class only are left out.
    """
    others = [] if reference is None else [reference]
    pairs = [(name, name) for name in scores]
    pairs += [pair for name in scores for other in others for pair in ((name, other), (other, name))]
    aucs = auc_replicates(y, scores, groups, pairs, replicates=replicates, seed=seed)
    rows: dict[Hashable, dict[str, float]] = {}
    for name in scores:
        rows[name] = dict(zip(("auc", "low", "high"), percentile_interval(aucs[name, name]), strict=True))
        for other in others:
            gain = percentile_interval(aucs[other, name] - aucs[name, other])
            rows[name] |= dict(zip(("gain", "gain_low", "gain_high"), gain, strict=True))
    return pd.DataFrame.from_dict(rows, orient="index")


def delong_components(y: Floats, score: Floats) -> tuple[Floats, Floats]:
    """Return, per positive, the share of negatives below it; per negative, the share of positives above it.

    These are the structural components V10 and V01 of DeLong et al. 1988, in the O(n log n) form of Sun & Xu 2014
    (mid-ranks; ties count half); the mean of either is the AUC. Rows keep their order; both classes must occur.
    """
    positive = y == 1
    ranks = rankdata(score)
    of_positives = (ranks[positive] - rankdata(score[positive])) / (~positive).sum()
    of_negatives = 1 - (ranks[~positive] - rankdata(score[~positive])) / positive.sum()
    return of_positives, of_negatives


def components_variance(of_positives: Floats, of_negatives: Floats) -> float:
    """Return the variance of an AUC from its components, or of a difference of two AUCs from their differences.

    It treats rows as independent, which a patient's pictures are not; NaN with fewer than two rows of a class.
    """
    if min(len(of_positives), len(of_negatives)) < 2:
        return float("nan")
    return float(np.var(of_positives, ddof=1) / len(of_positives) + np.var(of_negatives, ddof=1) / len(of_negatives))


def delong_variance(y: Floats, score: Floats) -> float:
    """Return the variance of the AUC by DeLong et al. 1988; NaN with fewer than two rows of a class."""
    if not 0 < y.sum() < len(y):
        return float("nan")
    return components_variance(*delong_components(y, score))


def delong_interval(y: Floats, score: Floats) -> Interval:
    """Return the AUC with its 95 % normal interval by DeLong's variance, cut to [0, 1]."""
    value = auc(y, score)
    distance = norm.ppf((1 + LEVEL) / 2) * np.sqrt(delong_variance(y, score))
    return Interval(value, float(np.maximum(value - distance, 0.0)), float(np.minimum(value + distance, 1.0)))
