"""What it would save to stop after some views of a picture, when more cannot change the decision, and what it costs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from level2_stack.evaluation.auc import patient_bootstrap
from runtime.errors import InputFault
from runtime.progress import say
from runtime.run_folder import Run
from runtime.tables import read_table

SHARES = (0.95, 0.99, 1.0)  # of the cases of the other folds whose mean ends within the margin
SENSITIVITY = 0.9  # of the threshold


def run_early_exit(run: Run, names: Sequence[str]) -> pd.DataFrame:
    """Print and return per network and share of ``SHARES``: the views saved, the decisions changed, the change of AUC.

    A picture is left after a view when the mean so far is farther from the threshold than a margin: the distance from
    which, in that share of the cases of the other folds, the mean of these views ended from that of all. Threshold
    (90 % sensitivity) and margins come from the other folds. Raises InputFault for a network without several views.
    """
    cases = run.read_cases()
    train = cases[cases["role"] == "train"]
    rows = []
    for name in names:
        views = _views(run.level1 / name / "views.parquet").loc[train.index].to_numpy(np.float64)
        for share in SHARES:
            scores, counts, decisions = stop_early(views, train, share)
            full = views.mean(axis=1)
            table = pd.DataFrame({"all": full, "stopped": scores})
            gain = patient_bootstrap(
                train["target"].to_numpy(int), table, train["patient_id"].to_numpy(), reference="stopped"
            ).loc["all"]
            # The gain of the reference, the stopped means, over the means of all views.
            change = {"auc": roc_auc_score(train["target"], full), "change": gain["gain"]}
            change |= {"low": gain["gain_low"], "high": gain["gain_high"]}
            gain_in_views = 1 - counts.mean() / views.shape[1]
            rows.append({"network": name, "share": share, "saved": gain_in_views, "changed": decisions, **change})
    result = pd.DataFrame(rows).set_index(["network", "share"])
    say(result.round(4).to_string())
    return result


def _views(path: Path) -> pd.DataFrame:
    views = read_table(path)
    if views.shape[1] < 2:
        raise InputFault(f"{path}: one view; early exit over views needs a network with several")
    return views


def stop_early(views: np.ndarray, train: pd.DataFrame, share: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the means (n,) when stopped, the number of views (n,), and the share of decisions that differ."""
    folds, target = train["fold"].to_numpy(), train["target"].to_numpy(int)
    means = views.cumsum(axis=1) / np.arange(1, views.shape[1] + 1)
    scores, counts, differs = np.empty(len(views)), np.empty(len(views)), np.empty(len(views), bool)
    for fold in np.unique(folds):
        own, others = folds == fold, folds != fold
        threshold = np.quantile(means[others & (target == 1), -1], 1 - SENSITIVITY)
        margins = np.quantile(np.abs(means[others] - means[others, -1:]), share, axis=0)
        is_clear = np.abs(means[own] - threshold) > margins
        is_clear[:, -1] = True
        last = is_clear.argmax(axis=1)
        scores[own], counts[own] = means[own][np.arange(own.sum()), last], last + 1
        differs[own] = (scores[own] >= threshold) != (means[own, -1] >= threshold)
    return scores, counts, float(differs.mean())
