"""Baseline: the mean probability of the networks that a row has."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from level2_stack.learner_files import read_facts, write_facts
from runtime.settings import Settings

USES: Literal["logits", "all"] = "logits"
USES_SEED = False
BASELINE = True


class Params(Settings):
    """No settings: there is nothing to choose."""


class Mean:
    """A predictor: the mean probability of every row of a design; a row without any network gets the overall mean."""

    def __init__(self, networks: list[str], overall: float) -> None:
        self.networks, self.overall = networks, overall

    def __call__(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the probability of every row of ``X``, shape (n,)."""
        return np.asarray(X[self.networks].apply(expit).mean(axis=1).fillna(self.overall), dtype=np.float64)


def fit(params: Params, X: pd.DataFrame, y: NDArray[np.float64], *, groups: NDArray[np.object_], seed: int) -> Mean:
    """Return the mean of probabilities; ``y`` is not used."""
    return Mean(list(map(str, X.columns)), float(np.nan_to_num(np.nanmean(expit(X.to_numpy())), nan=0.5)))


def save(predict: Mean, folder: Path) -> None:
    """Write the networks' names and the overall mean as JSON."""
    write_facts(folder, "mean", networks=predict.networks, overall=predict.overall)


def load(folder: Path) -> Mean:
    """Read the mean that ``save`` wrote; raise InputFault if ``folder`` is damaged or holds another learner."""
    facts = read_facts(folder, "mean", "networks", "overall")
    return Mean([str(name) for name in facts["networks"]], float(facts["overall"]))
