"""How precise a validation is: the widths of its intervals, and how many cases other widths would take."""

import math

import pandas as pd

# Widths of 95 % intervals that reports of validation studies aim at: Riley et al. 2021, doi 10.1002/sim.9025, and
# Snell et al. 2021, doi 10.1016/j.jclinepi.2021.02.011.
WIDTHS = {"auc": 0.10, "slope": 0.40, "observed_expected": 0.40, "in_the_large": 0.40}
COLUMNS = ["metric", "width", "wished_width", "cases_here", "cases_needed", "malignant_needed"]


def precision_table(measures: pd.DataFrame, rows: int, positives: int, auc_width: float | None = None) -> pd.DataFrame:
    """Return one row per measure: the width of its interval, and the cases that a wished-for width takes.

    ``measures`` has the columns metric, value, low, high; the width of observed / expected is relative to its value.
    ``rows`` and ``positives`` are counted in these cases; ``auc_width`` replaces the wished-for width of the AUC.
    Widths shrink with the square root of the number of cases of the same kind (as many malignant ones and as many
    pictures per patient), so n cases of width w become n (w / wished)^2.
    """
    by_metric = measures.set_index("metric")
    wishes = WIDTHS | ({} if auc_width is None else {"auc": auc_width})
    table = []
    for metric, wish in wishes.items():
        width = float(by_metric["high"].get(metric, math.nan) - by_metric["low"].get(metric, math.nan))
        if metric == "observed_expected":  # a ratio: its interval grows with it
            width /= float(by_metric["value"].get(metric, math.nan))
        factor = (width / wish) ** 2
        counts = (math.ceil(rows * factor), math.ceil(positives * factor)) if math.isfinite(factor) else (None, None)
        table.append((metric, width, wish, rows, *counts))
    return pd.DataFrame(table, columns=COLUMNS)
