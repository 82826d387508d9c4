"""The choice of the model to submit: the one with the highest expected AUC on new cases, beyond chance or not."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from level2_stack.evaluation.auc import auc_replicates, percentile_interval
from level2_stack.recipe import BLEND

Floats = NDArray[np.float64]
RANK_MEAN = "rank_mean"


@dataclass(frozen=True)
class Preference:
    """The stack that nested evaluation prefers (a learner or the blend), its AUC and its gain over the rank mean.

    ``low`` and ``high`` are the 95 % limits of the gain: paired, patients resampled. They decide what can be claimed.
    ``expected_gain`` is the gain shrunk towards 0; it decides what is submitted. All four are NaN without a rank mean.
    """

    preferred: str
    auc: float
    gain: float
    low: float
    high: float
    expected_gain: float

    @property
    def choice(self) -> str:
        """Return the model to submit: the rank mean if no gain over it is expected, else the preferred stack."""
        return RANK_MEAN if self.expected_gain <= 0 else self.preferred

    def sentence(self) -> str:
        """Return a sentence with the model to submit, the reason for it, and what can be claimed."""
        if np.isnan(self.gain):
            return f"{self.preferred} is expected to be best on new cases"
        claim = "beyond chance" if self.low > 0 else "not beyond chance"
        gain = f"gain over the rank mean, {self.gain:+.4f} [{self.low:+.4f}, {self.high:+.4f}], is {claim}"
        if self.choice == RANK_MEAN:
            return f"no stack is expected to be better; the best is {self.preferred}, whose {gain}"
        return f"{self.preferred} is expected to be best on new cases; its {gain}"


def prefer(
    y: Floats, scores: pd.DataFrame, groups: NDArray[np.object_], *, replicates: int = 300, seed: int = 0
) -> Preference:
    """Return the preference among the columns of ``scores`` (n x models) by their expected AUC; ``y`` (n,) is 0/1.

    Where no gain is expected, the simpler model is preferred: the rank mean, which is not fitted; then the blend, in
    which errors of its learners cancel; then a single learner, whose high score may be luck. So the blend, which must
    be a column, is compared with every learner, and the best of them with the rank mean, if it is a column. ``groups``
    (n,) are the patients, which are resampled.
    """
    models = [str(name) for name in scores]
    pairs = auc_replicates(y, scores, groups, [(name, name) for name in models], replicates=replicates, seed=seed)
    aucs = {name: pairs[name, name] for name in models}
    learners = [name for name in models if name not in (RANK_MEAN, BLEND)]
    expected_gains = {BLEND: 0.0} | {name: _expected_gain(aucs[name] - aucs[BLEND]) for name in learners}
    best = max(expected_gains, key=lambda name: expected_gains[name])
    if RANK_MEAN not in aucs:
        nan = float("nan")
        return Preference(best, float(aucs[best][0]), nan, nan, nan, nan)
    gains = aucs[best] - aucs[RANK_MEAN]
    return Preference(best, float(aucs[best][0]), *percentile_interval(gains), _expected_gain(gains))


def shrink(gain: float, error: float) -> float:
    """Return the expected true value of a ``gain`` with standard error ``error`` >= 0: the gain, shrunk towards 0.

    This is empirical Bayes in the manner of James & Stein (1961), whose proof needs three values or more: the prior of
    the true gain is centred at 0, and its variance is estimated as gain² - error², at least 0. So a gain within one
    standard error is taken for 0.
    """
    return 0.0 if abs(gain) <= error else gain - error**2 / gain


def _expected_gain(gains: Floats) -> float:
    """Return the shrunken gain of a sample (entry 0) whose other entries are its replicates."""
    return shrink(float(gains[0]), float(np.nanstd(gains[1:])))
