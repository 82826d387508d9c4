"""The section that one threshold moves: four charts of the headline, and the table behind the slider."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from level2_stack.choose import RANK_MEAN
from level2_stack.report.artefacts import Artefacts
from level2_stack.report.charts import Axis, Bar, Chart, Line, round_step
from level2_stack.report.curves import all_called, decision_line, precision_line, roc_line
from level2_stack.report.operating import MEASURES, operating_points, presets
from level2_stack.subgroups import SENSITIVITY

RARE = 0.05  # below this prevalence most probabilities crowd at 0 on an even axis
COLUMNS = ("threshold", "caught", "alarms", *(f"{name}{end}" for name in MEASURES for end in ("", "_low", "_high")))


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
