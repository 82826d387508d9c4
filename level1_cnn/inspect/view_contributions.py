"""What each view of a finished model was worth: its AUC alone, and what the mean over the views loses without it."""

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from level1_cnn.views import IDENTITY
from runtime.progress import say
from runtime.run_folder import Run
from runtime.tables import read_table

ALL = "all views"


def print_view_contributions(run: Run, model: str) -> None:
    """Print the worth of every view of one finished model of ``run``; raise InputFault when it kept no views."""
    worth = view_contributions(read_table(run.level1 / model / "views.parquet"), run.read_cases())
    say(f"{model}: out-of-fold AUC of each view alone, of the mean without it, and what it adds to the mean")
    say(f"{'view':<18} {'alone':>7} {'without':>8} {'adds':>9} {'error':>8}")
    for name, row in worth.iterrows():
        cells = [f"{row['alone']:7.4f}", f"{row['without']:8.4f}", f"{row['adds']:+9.4f}", f"{row['error']:8.4f}"]
        say(f"{name:<18} " + " ".join(cells).replace("+nan", " nan"))
    gain = worth.loc[ALL]
    say(
        f"the mean over all views adds {gain['adds']:+.4f} (standard error {gain['error']:.4f}) to the picture as it is"
    )


def view_contributions(views: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """Return per view: AUC ``alone``, AUC of the mean ``without`` it, what it ``adds`` to the mean, and the ``error``.

    ``views`` holds out-of-fold probabilities, a column per view; training cases with a target are measured, folds
    pooled. The last row is the mean over all views: there ``without`` is the AUC of the picture as it is, and ``adds``
    the gain over it. ``error`` is the standard error of ``adds`` by DeLong et al. (1988); it takes cases for
    independent, so patients with several pictures make it too small.
    """
    known = cases[(cases["role"] == "train") & cases["target"].notna()]
    scores = views.reindex(known.index).dropna()
    positive = known.loc[scores.index, "target"].to_numpy(dtype=float) == 1
    every = _Auc(scores.mean(axis=1).to_numpy(), positive)
    rows = {}
    for name in scores:
        rest = scores.drop(columns=name)
        without = _Auc(rest.mean(axis=1).to_numpy(), positive) if len(rest.columns) else None
        rows[str(name)] = _row(_Auc(scores[name].to_numpy(), positive), without, every)
    rows[ALL] = _row(every, _Auc(scores[IDENTITY].to_numpy(), positive), every)
    return pd.DataFrame.from_dict(rows, orient="index")


class _Auc:
    """An AUC and the placement values it is the mean of: what share of the other class each case is ranked beyond."""

    def __init__(self, score: np.ndarray, positive: np.ndarray) -> None:
        ranks = rankdata(score)
        negatives, positives = (~positive).sum(), positive.sum()
        self.sick = (ranks[positive] - rankdata(score[positive])) / negatives
        self.healthy = 1 - (ranks[~positive] - rankdata(score[~positive])) / positives
        self.value = float(self.sick.mean())

    def error_of_difference(self, other: "_Auc") -> float:
        """Return the standard error of the difference of two AUCs of the same cases."""
        parts = (self.sick - other.sick, self.healthy - other.healthy)
        return float(np.sqrt(sum(part.var(ddof=1) / len(part) for part in parts)))


def _row(alone: _Auc, without: _Auc | None, every: _Auc) -> dict[str, float]:
    if without is None:  # the only view
        return {"alone": alone.value, "without": np.nan, "adds": np.nan, "error": np.nan}
    error = every.error_of_difference(without)
    return {"alone": alone.value, "without": without.value, "adds": every.value - without.value, "error": error}
