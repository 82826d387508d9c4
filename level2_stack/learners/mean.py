"""Baseline: the mean probability of the networks that a row has."""

from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from features.settings import Settings
from level2_stack.learners import Predict

USES: Literal["logits", "all"] = "logits"
SEEDED = False
BASELINE = True


class Params(Settings):
    """There is nothing to set."""


def fit(params: Params, X: pd.DataFrame, y: NDArray[np.float64], *, groups: NDArray[np.object_], seed: int) -> Predict:
    """Return the mean of probabilities; the target is not looked at. A row without a network gets the overall mean."""
    overall = float(np.nan_to_num(np.nanmean(expit(X.to_numpy())), nan=0.5))

    def predict(rows: pd.DataFrame) -> NDArray[np.float64]:
        probabilities = rows[X.columns].apply(expit)
        return np.asarray(probabilities.mean(axis=1).fillna(overall), dtype=np.float64)

    return predict
