"""Check the views of an out-of-fold table: level two reads their spread, which must say no more than the score."""

import numpy as np
import pandas as pd

from level2_stack.evaluation.auc import delong_interval
from level2_stack.foreign.checks import Findings
from runtime.errors import list_names

LEAST_CLASS = 10  # cases of each class, from which an AUC says something
# AUC of the spread without what the score explains, and of the number of views; measured: honest networks 0.47 to 0.57.
MOST_AUC = 0.7
DEGREE = 5  # of the polynomial by which the score explains the spread


def check_views(frame: pd.DataFrame, views: pd.DataFrame, target: pd.Series, where: str, findings: Findings) -> None:
    """Add a fault for ``views`` that equal the target, and for a spread or number of views that reveals it.

    ``frame`` has the column score; all have one row per training case.
    """
    equal = views.columns[(views.eq(target, axis=0) | views.isna()).all() & views.notna().any()]
    if len(equal):
        findings.faults.append(f"{where}: view columns equal to the target: {list_names(equal)}")
    counts, spread = views.notna().sum(axis=1), views.std(axis=1, ddof=0)
    rows = frame["score"].notna() & (counts > 1)
    figures = {"number of views": counts.where(frame["score"].notna()).dropna()}
    if rows.any():
        remainder = _remainder(spread[rows], frame["score"][rows])
        figures["spread over the views, without what the score explains,"] = remainder
    for what, values in figures.items():
        _check_figure(what, values, target[values.index], where, findings)


def _remainder(spread: pd.Series, score: pd.Series) -> pd.Series:
    """Return the ranks of ``spread`` minus a polynomial of the ranks of ``score``."""
    ranks, powers = spread.rank(pct=True), np.vander(score.rank(pct=True), DEGREE + 1)
    weights = np.linalg.lstsq(powers, ranks.to_numpy(), rcond=None)[0]
    return pd.Series(ranks.to_numpy() - powers @ weights, ranks.index)


def _check_figure(what: str, values: pd.Series, target: pd.Series, where: str, findings: Findings) -> None:
    malignant = int((target == 1).sum())
    if values.nunique() < 2 or min(malignant, len(target) - malignant) < LEAST_CLASS:
        return
    area = delong_interval(target.to_numpy(), values.to_numpy())
    if area.low > MOST_AUC or area.high < 1 - MOST_AUC:
        findings.faults.append(
            f"{where}: the {what} reveals the target (AUC {max(area.value, 1 - area.value):.2f}); "
            "leave the columns of the views out, or write those of the fold that did not see the case"
        )
