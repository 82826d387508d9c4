"""The choice of the learner to submit: the preferred learner if it beats the rank mean, else the rank mean."""

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
    """The learner that nested evaluation prefers, its AUC and its gain over the rank mean.

    ``low`` and ``high`` are the 95 % limits of the gain: paired, patients resampled.
    """

    preferred: str
    auc: float
    gain: float
    low: float
    high: float

    @property
    def choice(self) -> str:
        """Return the preferred learner if it beats the rank mean beyond chance or no gain is known, else rank_mean."""
        return self.preferred if self.low > 0 or np.isnan(self.gain) else RANK_MEAN

    def sentence(self) -> str:
        """Return a sentence with the choice and the reason for it."""
        if np.isnan(self.gain):
            return f"nested evaluation prefers {self.preferred} (AUC {self.auc:.4f})"
        gain = f"gain over the rank mean {self.gain:+.4f} [{self.low:.4f}, {self.high:.4f}]"
        if self.choice == self.preferred:
            return f"nested evaluation prefers {self.preferred} (AUC {self.auc:.4f}, {gain})"
        return f"nothing beats the rank mean beyond chance; the best is {self.preferred} (AUC {self.auc:.4f}, {gain})"


def prefer(
    y: Floats,
    scores: pd.DataFrame,
    groups: NDArray[np.object_],
    candidates: Sequence[str],
    *,
    replicates: int = 300,
    seed: int = 0,
) -> Preference:
    """Return the preference among ``candidates``, columns of ``scores`` (n x models), by the AUC on ``y`` (0/1, n).

    The blend is preferred unless the candidate with the highest AUC beats it beyond chance: small differences between
    learners are noise, and the best learner changes from sample to sample. ``groups`` (n,) are the patients, which are
    resampled. The gain is NaN if ``scores`` has no rank mean (a table without networks) or the rank mean is preferred.
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
        """Return the AUC of ``model`` minus the AUC of ``against``, and its 95 % limits."""
        row = patient_bootstrap(
            self.y,
            self.scores[[against, model]],
            self.groups,
            reference=model,
            replicates=self.replicates,
            seed=self.seed,
        ).loc[against]
        return float(row["gain"]), float(row["gain_low"]), float(row["gain_high"])
