"""The tables of a stack that stand at its thresholds: subgroups, risk and coverage, conformal sets."""

from collections.abc import Sequence

import pandas as pd

from level2_stack.evaluation.subgroups import subgroup_table
from level2_stack.thresholds.conformal import conformal_table
from level2_stack.thresholds.freeze import NestedRows, outer_decisions
from level2_stack.thresholds.operating_point import OperatingPoint, point_of_subgroups
from level2_stack.thresholds.referral import risk_coverage


def threshold_tables(
    rows: NestedRows, points: Sequence[OperatingPoint], cases: pd.DataFrame, conformal_coverage: float
) -> dict[str, pd.DataFrame]:
    """Return the tables by the names of their files; ``cases`` has the rows in the same order.

    The subgroups are compared at one of ``points``, and at their prevalence.
    """
    point = point_of_subgroups(points)
    subgroups = subgroup_table(
        rows.y,
        rows.outer,
        rows.groups,
        cases,
        threshold=point.threshold,
        is_malignant=outer_decisions(rows, point.fold_thresholds),
        weights=rows.weights(),
    )
    conformal = conformal_table(rows, cases, conformal_coverage)
    return {"subgroups": subgroups, "risk_coverage": risk_coverage(rows), "conformal": conformal}
