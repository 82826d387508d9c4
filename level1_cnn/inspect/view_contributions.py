"""The contribution of each view of a finished model: its AUC alone, and the AUC of the mean over views without it."""

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from level1_cnn.views import IDENTITY
from runtime.progress import say
from runtime.run_folder import Run
from runtime.tables import read_table

ALL = "all views"


def print_view_contributions(run: Run, model: str) -> None:
    """Print the contribution of every view of one finished model of ``run``; raise InputFault without views.parquet."""
    contributions = view_contributions(read_table(run.level1 / model / "views.parquet"), run.read_cases())
    say(f"{model}: out-of-fold AUC of each view alone, of the mean without it, and the difference that it makes")
    say(f"{'view':<18} {'alone':>7} {'without':>8} {'adds':>9} {'error':>8}")
    for name, row in contributions.iterrows():
        cells = [f"{row['alone']:7.4f}", f"{row['without']:8.4f}", f"{row['adds']:+9.4f}", f"{row['error']:8.4f}"]
        say(f"{name:<18} " + " ".join(cells).replace("+nan", " nan"))
    gain = contributions.loc[ALL]
    say(
        f"AUC of the mean over all views minus AUC of the unchanged picture: {gain['adds']:+.4f} "
        f"(standard error {gain['error']:.4f})"
    )


def view_contributions(views: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """Return one row per view with its AUC ``alone``, the AUC of the mean ``without`` it, ``adds`` and ``error``.

    ``views`` has the out-of-fold probabilities, one column per view; the AUCs are over all training cases with a
    target, folds pooled. ``adds`` is the AUC of the mean over all views minus ``without``. The last row is the mean
    over all views: there ``without`` is the AUC of the unchanged picture. ``error`` is the standard error of ``adds``
    by DeLong et al. (1988); it assumes independent cases and is too small if patients have several pictures.
    """
    train = cases[(cases["role"] == "train") & cases["target"].notna()]
    scores = views.reindex(train.index).dropna()
    positive = train.loc[scores.index, "target"].to_numpy(dtype=float) == 1
    mean = _Auc(scores.mean(axis=1).to_numpy(), positive)
    rows = {}
    for name in scores:
        others = scores.drop(columns=name)
        without = _Auc(others.mean(axis=1).to_numpy(), positive) if len(others.columns) else None
        rows[str(name)] = _row(_Auc(scores[name].to_numpy(), positive), without, mean)
    rows[ALL] = _row(mean, _Auc(scores[IDENTITY].to_numpy(), positive), mean)
    return pd.DataFrame.from_dict(rows, orient="index")


class _Auc:
    """An AUC and its placement values, whose mean over the positive cases is the AUC.

    The placement value of a case is the share of the other class against which the case is ranked correctly.
    """

    def __init__(self, score: np.ndarray, positive: np.ndarray) -> None:
        ranks = rankdata(score)
        negatives, positives = (~positive).sum(), positive.sum()
        self.positives = (ranks[positive] - rankdata(score[positive])) / negatives
        self.negatives = 1 - (ranks[~positive] - rankdata(score[~positive])) / positives
        self.value = float(self.positives.mean())

    def error_of_difference(self, other: "_Auc") -> float:
        """Return the standard error of the difference of two AUCs of the same cases."""
        parts = (self.positives - other.positives, self.negatives - other.negatives)
        return float(np.sqrt(sum(part.var(ddof=1) / len(part) for part in parts)))


def _row(alone: _Auc, without: _Auc | None, mean: _Auc) -> dict[str, float]:
    if without is None:  # the only view
        return {"alone": alone.value, "without": np.nan, "adds": np.nan, "error": np.nan}
    error = mean.error_of_difference(without)
    return {"alone": alone.value, "without": without.value, "adds": mean.value - without.value, "error": error}
