"""The AUC of a network's mean over 1, 2, 4, ... of its views, and what twice as many views are expected to give."""

from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from level2_stack.evaluation.auc import Interval, auc_replicates, percentile_interval
from runtime.run_folder import Run
from runtime.tables import read_table

Floats = NDArray[np.float64]
MOST_SETS = 8  # of views per number: their mean AUC is the AUC of that number
REPLICATES = 200
COLUMNS = ["network", "kind", "views", "auc", "low", "high", "adds", "adds_low", "adds_high"]


def views_of(run: Run, network: str, train: pd.DataFrame) -> pd.DataFrame | None:
    """Return the out-of-fold probabilities of a ``network``, a column per view; None if it has fewer than two."""
    path = run.level1 / network / "views.parquet"
    if not path.is_file():
        return None
    views = read_table(path).reindex(train.index)
    return views if views.shape[1] > 1 else None


def view_curve(network: str, views: pd.DataFrame, train: pd.DataFrame) -> pd.DataFrame:
    """Return a row per number of views with its AUC and what it ``adds`` to half as many, with limits by patients.

    ``views`` is (n, v). The AUC of a number of views is the mean over up to ``MOST_SETS`` random sets of them. The last
    row is predicted: the variance of a mean over views falls with 1 / v, so twice as many add half of what the last
    doubling added.
    """
    random, numbers = np.random.default_rng(0), _numbers(views.shape[1])
    scores: dict[str, Floats] = {}
    for number in numbers:
        sets = list(combinations(range(views.shape[1]), number))
        selection = random.permutation(len(sets))[:MOST_SETS]
        scores |= {f"{number}/{place}": views.iloc[:, list(sets[place])].mean(axis=1).to_numpy() for place in selection}
    frame = pd.DataFrame(scores)
    y, groups = train["target"].to_numpy(np.float64), train["patient_id"].to_numpy(object)
    by_pair = auc_replicates(y, frame, groups, [(n, n) for n in frame], replicates=REPLICATES, seed=0)
    of_number = {
        number: np.mean([by_pair[name, name] for name in frame if str(name).startswith(f"{number}/")], axis=0)
        for number in numbers
    }
    rows = []
    for before, number in zip([None, *numbers], numbers, strict=False):
        gain = Interval(*[float("nan")] * 3)
        if before is not None:
            gain = percentile_interval(of_number[number] - of_number[before])
        last = percentile_interval(of_number[number])
        rows.append([network, "measured", number, *last, *gain])
    half = [value / 2 for value in gain]
    rows.append([network, "predicted", 2 * numbers[-1], last[0] + half[0], np.nan, np.nan, *half])
    return pd.DataFrame(rows, columns=COLUMNS)


def _numbers(views: int) -> list[int]:
    """Return 1, 2, 4, ... as far as ``views`` goes, and ``views`` itself."""
    powers = [2**power for power in range(views.bit_length()) if 2**power < views]
    return [*powers, views]
