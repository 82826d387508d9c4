"""The risk-coverage curve: how many cases need no referral, and how many of them are malignant."""

import numpy as np
import pandas as pd

from level2_stack.evaluation.at_thresholds import measures_at_thresholds
from level2_stack.thresholds.freeze import NestedRows

POINTS = 100
LIMITS = {"risk": "npv", "risk_low": "npv_high", "risk_high": "npv_low"}


def risk_coverage(rows: NestedRows, *, points: int = POINTS, replicates: int = 300) -> pd.DataFrame:
    """Return about ``points`` rows: ``threshold``; ``coverage``, the share of cases below it, which need no referral;
    and ``risk``, the share of malignant cases among these, with ``risk_low`` and ``risk_high`` (95 %).

    Both are out of fold, at the prevalence of ``rows``; the limits resample patients. After El-Yaniv & Wiener 2010: the
    decision about the cases that are covered is "benign". What a threshold reaches that is chosen on such a curve is
    measured by an operating point of the rule npv.
    """
    thresholds = np.unique(np.quantile(rows.outer, np.linspace(0, 1, points + 1)[1:], method="nearest"))
    table = measures_at_thresholds(rows.y, rows.outer, rows.groups, thresholds, rows.weights(), replicates=replicates)
    risk = pd.DataFrame({name: 1 - table[measure] for name, measure in LIMITS.items()})
    curve = pd.concat([table["threshold"], (1 - table["referred"]).rename("coverage"), risk], axis=1)
    return curve[curve["risk"].notna()].reset_index(drop=True)
