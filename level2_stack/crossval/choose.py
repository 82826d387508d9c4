"""Which learner is submitted: the one that nested evaluation prefers, if it beats the rank mean, else the rank mean."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from level2_stack.evaluation.auc import auc, patient_bootstrap
from level2_stack.recipe import BLEND

Floats = NDArray[np.float64]
RANK_MEAN = "rank_mean"


@dataclass(frozen=True)
class Preference:
    """A preferred learner, its AUC, and what it gains on the rank mean: 95 % from resampled patients, paired."""

    preferred: str
    auc: float
    gain: float
    low: float
    high: float

    @property
    def choice(self) -> str:
        """Return the preferred learner if it beats the rank mean beyond chance or there is none, else the rank mean."""
        return self.preferred if self.low > 0 or np.isnan(self.gain) else RANK_MEAN

    def sentence(self) -> str:
        """Say what was chosen and why."""
        if np.isnan(self.gain):
            return f"{self.preferred} is preferred by nested evaluation ({self.auc:.4f})"
        gain = f"{self.gain:+.4f} [{self.low:.4f}, {self.high:.4f}] against the rank mean"
        if self.choice == self.preferred:
            return f"{self.preferred} is preferred by nested evaluation ({self.auc:.4f}, {gain})"
        return f"nothing beats the rank mean: the best, {self.preferred}, reaches {self.auc:.4f}, {gain}"


def prefer(
    y: Floats,
    scores: pd.DataFrame,
    groups: NDArray[np.object_],
    candidates: Sequence[str],
    *,
    replicates: int = 300,
    seed: int = 0,
) -> Preference:
    """Return which of ``candidates``, columns of ``scores`` (n x models), is preferred for its AUC on ``y`` (0/1, n).

    That is the blend, unless the candidate with the highest AUC beats it beyond chance: small differences between
    learners are noise, and who is best by them changes from sample to sample. ``groups`` (n,) are the patients that are
    resampled. The gain is NaN where ``scores`` has no rank mean (a table without networks), and where the rank mean
    itself is best.
    """
    aucs = {name: auc(y, scores[name].to_numpy(dtype=np.float64)) for name in candidates}
    best = max(aucs, key=lambda name: aucs[name])
    gain = _Gain(y, scores, groups, replicates, seed)
    if BLEND in aucs and best != BLEND and not gain(best, BLEND)[1] > 0:
        best = BLEND
    if RANK_MEAN not in scores or best == RANK_MEAN:
        return Preference(best, aucs[best], *[float("nan")] * 3)
    return Preference(best, aucs[best], *gain(best, RANK_MEAN))


@dataclass(frozen=True)
class _Gain:
    y: Floats
    scores: pd.DataFrame
    groups: NDArray[np.object_]
    replicates: int
    seed: int

    def __call__(self, model: str, against: str) -> tuple[float, float, float]:
        """Return what ``model`` gains on ``against`` in AUC, and the limits at 95 %."""
        drawn = patient_bootstrap(
            self.y,
            self.scores[[against, model]],
            self.groups,
            reference=model,
            replicates=self.replicates,
            seed=self.seed,
        ).loc[against]
        return float(drawn["gain"]), float(drawn["gain_low"]), float(drawn["gain_high"])
