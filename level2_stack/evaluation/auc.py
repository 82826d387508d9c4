"""How good a score is and how sure of it one can be: exact AUC, intervals by resampled patients, DeLong."""

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
CELLS = 250_000  # of the arrays of one batch of replicates: 2 MB each, which a processor's cache still holds


class Interval(NamedTuple):
    """An estimate and the limits it lies between at 95 %."""

    value: float
    low: float
    high: float


def auc(y: Floats, score: Floats) -> float:
    """Return the exact area under the ROC curve of ``score`` (n,) for ``y`` (n,) in 0/1; NaN where one class lacks."""
    return float(roc_auc_score(y, score)) if 0 < y.sum() < len(y) else float("nan")


class Standing(NamedTuple):
    """What stands where at every distinct score of a positive, ascending, under b weightings of the rows.

    With t such a score, a row of the arrays (scores, b): ``positive`` and ``tied`` are the weights of the positives and
    of the negatives with score t, ``below`` of the negatives lower than t; ``negative`` (b,) is the weight of them all.
    Every measure of the ROC or precision-recall curve follows: between these scores only specificity changes.
    """

    positive: Floats
    tied: Floats
    below: Floats
    negative: Floats

    @property
    def positives(self) -> Floats:
        """Return the weight of all positives, (b,)."""
        return np.asarray(self.positive.sum(axis=0))

    def area(self) -> Floats:
        """Return the AUC, (b,): the chance that a positive stands above a negative, a tie counting half; or NaN."""
        won = (self.positive * (self.below + self.tied / 2)).sum(axis=0)
        return ratio(won, self.positives * self.negative)


class PatientROC:
    """The ROC curve of one score under many weightings of the patients; places every row once.

    ``y`` and ``score`` are (n,), ``patient_of`` (n,) the number of each row's patient. A weighting costs at most one
    multiplication per row: a patient's negatives between two neighbouring positives count as one entry.
    """

    def __init__(self, y: Floats, score: Floats, patient_of: NDArray[np.intp], patients: int) -> None:
        positive = y == 1
        levels, level_of = np.unique(score[positive], return_inverse=True)
        lower = np.searchsorted(levels, score[~positive], side="left")
        tied = np.searchsorted(levels, score[~positive], side="right") > lower
        self._positive = _counted(level_of, patient_of[positive], (len(levels), patients))
        self._negative = _counted(2 * lower + tied, patient_of[~positive], (2 * len(levels) + 1, patients))

    def __call__(self, counts: Floats) -> Standing:
        """Return what stands where with ``counts`` (patients, b) >= 0 as the times that each patient was drawn."""
        negative = self._negative @ counts  # in turn below, tied with, above each level
        risen = np.cumsum(negative, axis=0)
        return Standing(self._positive @ counts, negative[1::2], risen[:-1:2], risen[-1])


def _counted(of_row: NDArray[np.intp], patient_of: NDArray[np.intp], shape: tuple[int, int]) -> coo_array:
    return coo_array((np.ones(len(of_row)), (of_row, patient_of)), shape=shape).tocsr()


def ratio(part: Floats, whole: Floats) -> Floats:
    """Return ``part / whole``, NaN where the whole is 0."""
    return np.asarray(part / np.where(whole == 0, np.nan, whole))


class Draws:
    """Patients drawn with replacement; every pass repeats the same draws, so whatever it measures is paired."""

    def __init__(self, groups: NDArray[np.object_], *, replicates: int, seed: int) -> None:
        self.patient_of, names = pd.factorize(groups, sort=True, use_na_sentinel=False)
        self.patients, self.replicates, self._seed = len(names), replicates, seed

    def batches(self, width: int) -> Iterator[Floats]:
        """Yield counts (patients, b) with b <= ``width``: first the sample itself, all ones, then the replicates."""
        random = np.random.default_rng(self._seed)
        yield np.ones((self.patients, 1))
        for start in range(0, self.replicates, width):
            count = min(width, self.replicates - start)
            yield np.stack([self._draw(random) for _ in range(count)], axis=1)

    def _draw(self, random: np.random.Generator) -> Floats:
        drawn = random.integers(self.patients, size=self.patients)
        return np.bincount(drawn, minlength=self.patients).astype(np.float64)


def replicate(statistics: Mapping[Key, Callable[[Floats], Floats]], draws: Draws, *, cells: int) -> dict[Key, Floats]:
    """Return every statistic of the sample (column 0) and of each replicate, k x (1 + replicates).

    A statistic takes counts (patients, b) and gives k x b. ``cells`` is the most that one replicate needs in one
    array; batches are cut so that memory grows with the table and not with the number of replicates.
    """
    parts: dict[Key, list[Floats]] = {key: [] for key in statistics}
    for counts in draws.batches(max(1, CELLS // max(cells, draws.patients))):
        for key, statistic in statistics.items():
            parts[key].append(statistic(counts))
    return {key: np.concatenate(part, axis=1) for key, part in parts.items()}


def percentile_interval(values: Floats) -> Interval:
    """Return ``values[0]`` with the 95 % percentile limits of the rest; NaN among them says nothing and is left out."""
    drawn = values[1:][~np.isnan(values[1:])]
    if not len(drawn):
        return Interval(float(values[0]), float("nan"), float("nan"))
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(values[0]), float(low), float(high))


def auc_replicates(
    y: Floats, scores: pd.DataFrame, groups: NDArray[np.object_], wanted: Iterable[Pair], *, replicates: int, seed: int
) -> dict[Pair, Floats]:
    """Return for every wanted pair (a, b) the AUC of model a on the rows where a and b are both not NaN.

    Each is (1 + replicates,): of the sample, then of the same draws of patients. Equal models on equal rows are
    computed once, so all pairs of models without gaps cost no more than the models.
    """
    present = {name: score.notna().to_numpy() for name, score in scores.items()}
    draws = Draws(groups, replicates=replicates, seed=seed)
    keys = {(a, b): (a, (present[a] & present[b]).tobytes()) for a, b in wanted}
    areas: dict[tuple[Hashable, bytes], _Area] = {}
    for (a, b), key in keys.items():
        if key not in areas:
            areas[key] = _Area(y, scores[a].to_numpy(dtype=np.float64), present[a] & present[b], draws)
    found = replicate(areas, draws, cells=2 * int(y.sum()) + 1)
    return {pair: found[key][0] for pair, key in keys.items()}


class _Area:
    def __init__(self, y: Floats, score: Floats, kept: NDArray[np.bool_], draws: Draws) -> None:
        self._roc = PatientROC(y[kept], score[kept], draws.patient_of[kept], draws.patients)

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
    A replicate with one class only says nothing and is left out.
    """
    others = [] if reference is None else [reference]
    wanted = [(name, name) for name in scores]
    wanted += [pair for name in scores for other in others for pair in ((name, other), (other, name))]
    drawn = auc_replicates(y, scores, groups, wanted, replicates=replicates, seed=seed)
    rows: dict[Hashable, dict[str, float]] = {}
    for name in scores:
        rows[name] = dict(zip(("auc", "low", "high"), percentile_interval(drawn[name, name]), strict=True))
        for other in others:
            gain = percentile_interval(drawn[other, name] - drawn[name, other])
            rows[name] |= dict(zip(("gain", "gain_low", "gain_high"), gain, strict=True))
    return pd.DataFrame.from_dict(rows, orient="index")


def delong_components(y: Floats, score: Floats) -> tuple[Floats, Floats]:
    """Return the share of negatives that each positive beats, and of positives that each negative loses to.

    These are the structural components V10 and V01 of DeLong et al. 1988, in the O(n log n) form of Sun & Xu 2014
    (mid-ranks); the mean of either is the AUC. Rows keep their order; both classes must be there.
    """
    positive = y == 1
    ranks = rankdata(score)
    of_positives = (ranks[positive] - rankdata(score[positive])) / (~positive).sum()
    of_negatives = 1 - (ranks[~positive] - rankdata(score[~positive])) / positive.sum()
    return of_positives, of_negatives


def components_variance(of_positives: Floats, of_negatives: Floats) -> float:
    """Return the variance of an AUC from its components, or of a difference of two AUCs from their differences.

    It takes rows as independent, which a patient's pictures are not; NaN with fewer than two rows of a class.
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
    reach = norm.ppf((1 + LEVEL) / 2) * np.sqrt(delong_variance(y, score))
    return Interval(value, float(np.maximum(value - reach, 0.0)), float(np.minimum(value + reach, 1.0)))
