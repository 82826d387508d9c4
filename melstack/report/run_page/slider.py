"""The slider of the threshold section: measures at every threshold, and the frozen thresholds as presets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from level2_stack.evaluation.at_thresholds import measures_at_thresholds
from level2_stack.evaluation.auc import Floats
from level2_stack.thresholds.operating_point import OperatingPoint, point_of_subgroups
from melstack.report.run_page.inputs import StackResults

MAX_THRESHOLDS = 400  # on the page: finer steps than a slider has pixels on a phone
COUNTS = ("true_positives", "false_positives")
WITH_LIMITS = ("sensitivity", "specificity", "ppv", "npv")
COLUMNS = (
    "threshold",
    *COUNTS,
    *(f"{name}{end}" for name in WITH_LIMITS for end in ("", "_low", "_high")),
    "net_benefit",
)


@dataclass(frozen=True)
class Slider:
    """The slider's table, ready for JSON, its first position and its length."""

    table: dict[str, Any]
    start: int
    count: int


def slider_of(stack: StackResults) -> Slider:
    """Return the slider of the headline, which starts at the frozen threshold at which subgroups are compared."""
    y, score, points = stack.y, stack.score(stack.headline), stack.operating_points
    thresholds = choose_thresholds(y, score, [point.threshold for point in points])
    table = measures_at_thresholds(y, score, stack.groups, thresholds, stack.weights)
    presets = [_preset(point, thresholds) for point in points]
    start = presets[points.index(point_of_subgroups(points))]["index"] if points else len(thresholds) // 2
    return Slider(_content(table, stack, presets), start, len(thresholds))


def choose_thresholds(y: Floats, score: Floats, presets: Sequence[float], max_count: int = MAX_THRESHOLDS) -> Floats:
    """Return about ``max_count`` scores, ascending, to use as thresholds, and the ``presets`` among them.

    All distinct scores if there are fewer; otherwise half are spread evenly over the ranks of all rows and half over
    the ranks of the positives, which gives even steps of specificity and of sensitivity.
    """
    levels = np.unique(score)
    if len(levels) <= max_count:
        return np.union1d(levels, presets)
    half = max_count // 2
    return np.unique(np.r_[_spread(levels, half), _spread(np.unique(score[y == 1]), half), presets])


def _spread(values: Floats, max_count: int) -> Floats:
    indices = np.unique(np.linspace(0, len(values) - 1, min(max_count, len(values))).round().astype(np.intp))
    return np.asarray(values[indices], dtype=np.float64)


def _preset(point: OperatingPoint, thresholds: Floats) -> dict[str, Any]:
    """Return the position of a frozen threshold, and what it reached on the outer folds, which did not choose it."""
    measures = {name: point.measures[name].model_dump() for name in WITH_LIMITS}
    counts = {name: getattr(point, name) for name in COUNTS}
    index = int(np.searchsorted(thresholds, point.threshold))
    return {"label": point.name, "index": index, "measures": measures, **counts}


def _content(table: pd.DataFrame, stack: StackResults, presets: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the columns of ``table`` ready for JSON, NaN as None, with the counts of rows and the presets."""
    positives = int(stack.y.sum())
    return {
        "columns": {name: [_short(value) for value in table[name].tolist()] for name in COLUMNS},
        "positives": positives,
        "negatives": len(stack.y) - positives,
        "prevalence": stack.prevalence,
        "presets": presets,
    }


def _short(value: float) -> float | None:
    return None if value != value else float(f"{value:.5g}")
