"""The stack without the networks that shift from out of fold to test: its figure is the one to quote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from level2_stack.evaluation.auc import patient_bootstrap

FULL, SMALLER = "with", "without"
REPLICATES = 500


@dataclass(frozen=True)
class SmallerStack:
    """The out-of-fold AUC of the stack without ``networks`` (name -> why), with 95 % limits, patients resampled.

    ``gain``: what these networks add to that AUC, paired. All numbers are None where no network is left.
    """

    networks: dict[str, str]
    auc: float | None = None
    low: float | None = None
    high: float | None = None
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None

    def facts(self) -> dict[str, Any]:
        """Return the values for decisions.json."""
        return asdict(self)


def measure_smaller_stack(
    networks: Mapping[str, str],
    y: NDArray[np.float64],
    groups: NDArray[np.object_],
    full: pd.Series,
    smaller: pd.Series | None,
) -> SmallerStack:
    """Compare the out-of-fold scores of the ``full`` stack with those of the ``smaller`` one, (n,) each.

    ``y`` (n,) is 0/1, ``groups`` (n,) are the patients. ``smaller`` is None where no network would be left.
    """
    if smaller is None:
        return SmallerStack(dict(networks))
    scores = pd.DataFrame({FULL: full.to_numpy(), SMALLER: smaller.to_numpy()})
    row = patient_bootstrap(y, scores, groups, reference=FULL, replicates=REPLICATES).loc[SMALLER]
    names = ("auc", "low", "high", "gain", "gain_low", "gain_high")
    return SmallerStack(dict(networks), *(float(row[name]) for name in names))
