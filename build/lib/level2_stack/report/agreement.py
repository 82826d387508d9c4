"""How alike the networks of a stack err: the correlation of their scores, and the colour scale it is shown on."""

import numpy as np
import pandas as pd

from level2_stack.evaluate import Floats
from level2_stack.report.charts import Scale


def correlation_of(scores: pd.DataFrame, y: Floats, least: int = 3) -> pd.DataFrame:
    """Return Spearman's correlation of every two columns of ``scores`` (n x models) among the negatives of ``y`` (n,).

    Among all rows two good models agree because both know the target; what is left among the negatives is how alike
    they err, which is what a stack can gain from. NaN with fewer than ``least`` common rows.
    """
    table: pd.DataFrame = scores[y == 0].corr(method="spearman", min_periods=least)
    return table


def heat_scale(correlation: pd.DataFrame) -> Scale:
    """Return the scale of the heat map: from a tenth below the least correlation of two networks to 1."""
    values = correlation.to_numpy(dtype=np.float64)
    apart = values[~np.eye(len(values), dtype=bool) & ~np.isnan(values)]
    return Scale(np.floor(10 * float(apart.min())) / 10 - 0.1 if len(apart) else 0.0, 1.0)
