"""The section that one threshold moves: four charts of the headline, and the table behind the slider."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from level2_stack.crossval.choose import RANK_MEAN
from level2_stack.evaluation.auc import Floats, ratio
from level2_stack.evaluation.subgroups import SENSITIVITY
from melstack.report.charts import Axis, Bar, Chart, Line, round_step
from melstack.report.run_page.inputs import Artefacts
from melstack.report.run_page.operating import MEASURES, operating_points, presets

RARE = 0.05  # below this prevalence most probabilities crowd at 0 on an even axis
COLUMNS = ("threshold", "caught", "alarms", *(f"{name}{end}" for name in MEASURES for end in ("", "_low", "_high")))
MOST_POINTS = 250


@dataclass(frozen=True)
class Thresholds:
    """What the section shows: the charts, the slider's table ready for JSON, and where the slider starts."""

    charts: list[Chart]
    table: dict[str, Any]
    start: int
    count: int


def threshold_section(found: Artefacts) -> Thresholds:
    """Return the charts of the headline, beside the rank mean and the best network, and the slider's table."""
    y, score = found.y, found.score(found.headline)
    points = operating_points(y, score, found.groups, found.weights)
    named = presets(points)
    starts = [preset["index"] for preset in named if preset["label"] == f"{SENSITIVITY} % sensitivity"]
    start = int(str(starts[0])) if starts else 0
    charts = [_roc(found), _precision(found), _reliability(found), _decision(found)]
    return Thresholds(charts, _embedded(points, found, named), start, len(points))


def compared(found: Artefacts) -> dict[str, str]:
    """Return the models that share a chart, name -> class of their line; the headline comes last, on top.

    Beside it stand the best network and the rank mean; where that is what the headline chose, the best stack instead.
    """
    preferred = found.decisions.get("preferred") or {}
    rival = preferred.get("preferred", RANK_MEAN) if found.submitted == RANK_MEAN else RANK_MEAN
    others = {found.best_network: "second", rival: "third"}
    kept = {name: style for name, style in others.items() if name in found.board.index and name != found.headline}
    return kept | {found.headline: "first"}


def _embedded(points: pd.DataFrame, found: Artefacts, named: list[dict[str, object]]) -> dict[str, Any]:
    """Return the columns of ``points`` ready for JSON; what is not known is None."""
    columns = {name: [_short(value) for value in points[name].tolist()] for name in (*COLUMNS, "benefit")}
    positives = int(found.y.sum())
    return {
        "columns": columns,
        "positives": positives,
        "negatives": len(found.y) - positives,
        "prevalence": found.prevalence,
        "presets": named,
    }


def _short(value: float) -> float | None:
    return None if value != value else float(f"{value:.5g}")


def _roc(found: Artefacts) -> Chart:
    lines = [Line(name, style, roc_line(found.y, found.score(name))) for name, style in compared(found).items()]
    x, y = Axis("1 − specificity", 0, 1), Axis("sensitivity", 0, 1)
    chance = Line("chance", "guide", np.array([[0.0, 0.0], [1.0, 1.0]]))
    return Chart("ROC", x, y, [chance, *lines], marker="roc")


def _precision(found: Artefacts) -> Chart:
    named = compared(found).items()
    lines = [Line(name, style, precision_line(found.y, found.score(name), found.weights)) for name, style in named]
    x, y = Axis("sensitivity (recall)", 0, 1), Axis("PPV (precision)", 0, 1)
    chance = Line("prevalence", "guide", np.array([[0.0, found.prevalence], [1.0, found.prevalence]]))
    return Chart("Precision and recall", x, y, [chance, *lines], marker="precision")


def _reliability(found: Artefacts) -> Chart:
    table = found.tables["reliability"]
    high = _ceiling(float(table[["mean_probability", "observed_high"]].max().max()))
    rare = found.prevalence < RARE
    x = Axis("predicted probability", 0, high, root=rare, percent=True)
    y = Axis("observed share", 0, high, root=rare, percent=True)
    line = Line(found.headline, "first", table[["mean_probability", "observed"]].to_numpy(dtype=np.float64))
    ideal = Line("perfectly calibrated", "guide", np.array([[0.0, 0.0], [high, high]]))
    bars = [_bar(row) for row in table.to_dict("records")]
    note = "Square-root axes: most predictions are small. " if rare else ""
    return Chart("Reliability", x, y, [ideal, line], bars, marker="reliability", note=f"{note}Bars: 95 % (Wilson).")


def _bar(row: dict[Any, Any]) -> Bar:
    limits = f"[{100 * row['observed_low']:.2f}, {100 * row['observed_high']:.2f}]"
    claimed, observed = 100 * row["mean_probability"], 100 * row["observed"]
    said = f"{row['rows']} pictures: predicted {claimed:.2f} %, observed {observed:.2f} % {limits}"
    return Bar(row["mean_probability"], row["observed"], row["observed_low"], row["observed_high"], said)


def _decision(found: Artefacts) -> Chart:
    prevalence = found.prevalence
    high = min(0.95, max(4 * prevalence, min(0.05, 20 * prevalence)))
    at = np.linspace(0, high, 200)
    lines = [
        Line(name, style, decision_line(found.y, found.score(name), found.weights, at))
        for name, style in compared(found).items()
        if name in found.learners  # a network's own scores are no calibrated probabilities
    ]
    everyone = Line("call every picture", "guide", all_called(prevalence, at))
    nobody = Line("call none", "axis", np.array([[0.0, 0.0], [high, 0.0]]))
    x = Axis("threshold probability", 0, high, percent=True)
    cases = 1 if prevalence > RARE else 1000  # 0.00025 per case would not fit beside the axis
    label = "net benefit per case" if cases == 1 else f"net benefit per {cases:,} cases"
    y = Axis(label, -0.25 * prevalence, 1.05 * prevalence, times=cases)
    return Chart("Decision curve", x, y, [nobody, everyone, *lines], marker="decision")


def _ceiling(value: float) -> float:
    """Return a round limit just above ``value`` in (0, 1]."""
    step = round_step(max(value, 1e-6) / 4)
    return float(min(1.0, np.ceil(value / step) * step))


def roc_line(y: Floats, score: Floats, most: int = MOST_POINTS) -> Floats:
    """Return the ROC curve, (points, 2): 1 - specificity and sensitivity, from (0, 0) to (1, 1).

    ``y`` (n,) is 0/1 and has both classes; rows whose ``score`` (n,) is NaN are left out.
    """
    called = _called(y, score, np.ones_like(y))
    return thinned(np.vstack([[0.0, 0.0], called[:, ::-1] / called[-1, ::-1]]), most)


def precision_line(y: Floats, score: Floats, weights: Floats, most: int = MOST_POINTS) -> Floats:
    """Return the precision-recall curve, (points, 2): recall and precision, from the highest score down.

    ``weights`` (n,) count as rows, which puts precision at another prevalence.
    """
    caught, alarms = _called(y, score, weights).T
    first = int(np.argmax(caught > 0))  # before the first positive precision is 0 of nothing found
    caught, alarms = caught[first:], alarms[first:]
    return thinned(np.column_stack([caught / caught[-1], caught / (caught + alarms)]), most)


def decision_line(y: Floats, score: Floats, weights: Floats, thresholds: Floats) -> Floats:
    """Return the decision curve, (points, 2): threshold in [0, 1) and net benefit per case (Vickers & Elkin 2006).

    Net benefit is the share of true positives minus that of false positives times the odds of the threshold.
    """
    kept = ~np.isnan(score)
    y, score, weights = y[kept], score[kept], weights[kept]
    order = np.argsort(score, kind="stable")
    caught, alarms = (np.r_[0.0, np.cumsum((weights * part)[order][::-1])] for part in (y, 1 - y))
    above = len(score) - np.searchsorted(score[order], thresholds, side="left")
    benefit = (caught[above] - alarms[above] * ratio(thresholds, 1 - thresholds)) / weights.sum()
    return np.column_stack([thresholds, benefit])


def all_called(prevalence: float, thresholds: Floats) -> Floats:
    """Return the decision curve, (points, 2), of calling every case malignant."""
    benefit = prevalence - (1 - prevalence) * ratio(thresholds, 1 - thresholds)
    return np.column_stack([thresholds, benefit])


def thinned(line: Floats, most: int = MOST_POINTS) -> Floats:
    """Return at most ``most`` points of ``line`` (n, 2), evenly spread along it; both ends stay."""
    if len(line) <= most:
        return line
    length = np.r_[0.0, np.cumsum(np.abs(np.diff(line, axis=0)).sum(axis=1))]
    wanted = np.searchsorted(length, np.linspace(0, length[-1], most))
    kept: NDArray[np.intp] = np.unique(np.r_[0, np.minimum(wanted, len(line) - 1), len(line) - 1])
    return line[kept]


def _called(y: Floats, score: Floats, weights: Floats) -> Floats:
    """Return the weight of true and false positives, (levels, 2), at every distinct score from the highest down."""
    kept = ~np.isnan(score)
    levels, level_of = np.unique(-score[kept], return_inverse=True)
    parts = (weights * y, weights * (1 - y))
    return np.column_stack([np.cumsum(np.bincount(level_of, part[kept], len(levels))) for part in parts])
