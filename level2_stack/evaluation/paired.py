"""Is one model better than another on the same cases: paired DeLong and the paired bootstrap of patients."""

from collections.abc import Hashable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from level2_stack.evaluation.auc import (
    Floats,
    Pair,
    auc_replicates,
    components_variance,
    delong_components,
    percentile_interval,
)

ROUNDING = 1e-12  # far below 1 / rows, the least by which components can differ


class PairedTest(NamedTuple):
    """A statistic that is standard normal where two AUCs are equal, and its two-sided p."""

    z: float
    p: float


UNKNOWN = PairedTest(float("nan"), float("nan"))


def _few(y: Floats) -> bool:
    return bool(min(y.sum(), len(y) - y.sum()) < 2)


def _tested(components: tuple[Floats, Floats], against: tuple[Floats, Floats]) -> PairedTest:
    """Return DeLong's test (1988) of the difference of two correlated AUCs, by the components of each.

    Its variance, with the covariance, is that of the differences of the structural components. It takes rows as
    independent, which a patient's pictures are not. Equal order gives z = 0 and p = 1; NaN where two AUCs differ
    without any variance.
    """
    of_positives, of_negatives = components[0] - against[0], components[1] - against[1]
    gain = of_positives.mean()
    if max(np.ptp(of_positives), np.ptp(of_negatives)) < ROUNDING:
        return PairedTest(0.0, 1.0) if abs(gain) < ROUNDING else UNKNOWN
    z = float(gain / np.sqrt(components_variance(of_positives, of_negatives)))
    return PairedTest(z, float(2 * norm.sf(abs(z))))


def bootstrap_p(gains: Floats) -> float:
    """Return the two-sided p of replicated ``gains`` (b,): twice the smaller share on the far side of 0, at most 1.

    The sample itself counts as one more replicate (Davison & Hinkley 1997, section 4.2), so p is never below
    2 / (b + 1). NaN among the gains is left out; NaN where nothing is left.
    """
    drawn = gains[~np.isnan(gains)]
    if not len(drawn):
        return float("nan")
    fewer = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return min(1.0, 2 * (1 + fewer) / (1 + len(drawn)))


def compare(
    y: Floats,
    scores: pd.DataFrame,
    groups: NDArray[np.object_],
    *,
    pairs: Sequence[Pair] | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return one row per pair of models: who has the higher AUC, by how much, and whether chance would do as well.

    ``y`` (n,) is 0/1, ``scores`` n x models, ``groups`` (n,) the patients; ``pairs`` (model, against), by default each
    two models once. A pair is compared on the rows where both are not NaN. Columns: ``model, against, rows,
    positives``; ``auc, auc_against`` on those rows; ``gain`` = auc - auc_against with ``low, high`` (95 % percentile
    interval, patients resampled) and ``p_bootstrap``, which respect that a patient's pictures resemble each other;
    ``z_delong, p_delong``, which do not. p values are of each pair alone: of 20 equal pairs one falls below 0.05.
    """
    chosen = list(combinations(scores.columns, 2)) if pairs is None else list(pairs)
    wanted = [ordered for a, b in chosen for ordered in ((a, b), (b, a))]
    drawn = auc_replicates(y, scores, groups, wanted, replicates=replicates, seed=seed)
    delong = _DeLong(y, scores)
    rows = [
        {"model": a, "against": b, **_bootstrapped(drawn[a, b], drawn[b, a]), **delong.between(a, b)} for a, b in chosen
    ]
    leading = ["model", "against", "rows", "positives", "auc", "auc_against", "gain", "low", "high", "p_bootstrap"]
    return pd.DataFrame(rows, columns=[*leading, "z_delong", "p_delong"])


def _bootstrapped(drawn: Floats, against: Floats) -> dict[str, float]:
    gain, low, high = percentile_interval(drawn - against)
    limits = {"auc": float(drawn[0]), "auc_against": float(against[0]), "gain": gain, "low": low, "high": high}
    return limits | {"p_bootstrap": bootstrap_p((drawn - against)[1:])}


class _DeLong:
    """DeLong's test between columns of one table; the components of a model on equal rows are computed once."""

    def __init__(self, y: Floats, scores: pd.DataFrame) -> None:
        self._y, self._scores = y, scores
        self._known: dict[tuple[Hashable, bytes], tuple[Floats, Floats]] = {}

    def between(self, a: Hashable, b: Hashable) -> dict[str, float]:
        """Return the rows that a and b share, the positives among them, z and p."""
        kept = self._scores[[a, b]].notna().all(axis=1).to_numpy()
        y = self._y[kept]
        z, p = UNKNOWN if _few(y) else _tested(self._components(a, kept), self._components(b, kept))
        return {"rows": len(y), "positives": int(y.sum()), "z_delong": z, "p_delong": p}

    def _components(self, name: Hashable, kept: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        key = (name, kept.tobytes())
        if key not in self._known:
            score = self._scores[name].to_numpy(dtype=np.float64)
            self._known[key] = delong_components(self._y[kept], score[kept])
        return self._known[key]
