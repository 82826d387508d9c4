"""The charts of the threshold section: ROC, precision, reliability and decision curve of the headline model."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from level2_stack.crossval.choose import RANK_MEAN
from level2_stack.evaluation.auc import Floats, ratio
from level2_stack.thresholds.operating_point import OperatingPoint
from melstack.report.charts import Axis, Bar, Chart, Line, round_step
from melstack.report.run_page.inputs import StackResults
from runtime.plural import number_of

RARE = 0.05  # prevalence below which most probabilities would crowd at 0 on a linear axis
MAX_POINTS = 250
RISK_LINES = {"risk_low": "guide", "risk_high": "guide", "risk": "first"}  # column -> class of its line


def threshold_charts(stack: StackResults, max_points: int = MAX_POINTS) -> list[Chart]:
    """Return the ROC, precision-recall, reliability and decision curves; a line has about ``max_points`` points."""
    return [_roc(stack, max_points), _precision(stack, max_points), _reliability(stack), _decision(stack)]


def line_styles(stack: StackResults) -> dict[str, str]:
    """Return the models that share a chart, name -> class of their line; the headline comes last, on top.

    The others are the best network and the rank mean, or the best stack if the rank mean is submitted.
    """
    best_stack = stack.decisions.get("preferred") or {}
    rival = best_stack.get("preferred", RANK_MEAN) if stack.submission == RANK_MEAN else RANK_MEAN
    others = {stack.best_network: "second", rival: "third"}
    others = {name: style for name, style in others.items() if name in stack.board.index and name != stack.headline}
    return others | {stack.headline: "first"}


def _roc(stack: StackResults, max_points: int) -> Chart:
    lines = [
        Line(name, style, roc_line(stack.y, stack.score(name), max_points))
        for name, style in line_styles(stack).items()
    ]
    x, y = Axis("1 − specificity", 0, 1), Axis("sensitivity", 0, 1)
    chance = Line("chance", "guide", np.array([[0.0, 0.0], [1.0, 1.0]]))
    return Chart("ROC", x, y, [chance, *lines], marker="roc")


def _precision(stack: StackResults, max_points: int) -> Chart:
    lines = [
        Line(name, style, precision_line(stack.y, stack.score(name), stack.weights, max_points))
        for name, style in line_styles(stack).items()
    ]
    x, y = Axis("sensitivity (recall)", 0, 1), Axis("PPV (precision)", 0, 1)
    chance = Line("prevalence", "guide", np.array([[0.0, stack.prevalence], [1.0, stack.prevalence]]))
    return Chart("Precision and recall", x, y, [chance, *lines], marker="precision")


def _reliability(stack: StackResults) -> Chart:
    table = stack.tables["reliability"]
    high = round_up(float(table[["mean_probability", "observed_high"]].max().max()))
    rare = stack.prevalence < RARE
    x = Axis("predicted probability", 0, high, is_square_root=rare, percent=True)
    y = Axis("observed share", 0, high, is_square_root=rare, percent=True)
    line = Line(stack.headline, "first", table[["mean_probability", "observed"]].to_numpy(dtype=np.float64))
    ideal = Line("perfectly calibrated", "guide", np.array([[0.0, 0.0], [high, high]]))
    bars = [_bar(row) for row in table.to_dict("records")]
    note = "Square-root axes: most predictions are small. " if rare else ""
    return Chart("Calibration", x, y, [ideal, line], bars, marker="reliability", note=f"{note}Bars: 95 % (Wilson).")


def _bar(row: dict[Any, Any]) -> Bar:
    limits = f"[{100 * row['observed_low']:.2f}, {100 * row['observed_high']:.2f}]"
    shares = f"predicted {100 * row['mean_probability']:.2f} %, observed {100 * row['observed']:.2f} % {limits}"
    title = f"{number_of(row['rows'], 'picture')}: {shares}"
    return Bar(row["mean_probability"], row["observed"], row["observed_low"], row["observed_high"], title)


def _decision(stack: StackResults) -> Chart:
    prevalence = stack.prevalence
    high = min(0.95, max(4 * prevalence, min(0.05, 20 * prevalence)))
    thresholds = np.linspace(0, high, 200)
    lines = [
        Line(name, style, decision_line(stack.y, stack.score(name), stack.weights, thresholds))
        for name, style in line_styles(stack).items()
        if name in stack.learners  # the scores of a network are not calibrated probabilities
    ]
    all_malignant = Line("all predicted malignant", "guide", all_malignant_line(prevalence, thresholds))
    all_benign = Line("all predicted benign", "axis", np.array([[0.0, 0.0], [high, 0.0]]))
    x = Axis("threshold probability", 0, high, percent=True)
    cases = 1 if prevalence > RARE else 1000  # 0.00025 per case would be too long for a tick label
    label = "net benefit per case" if cases == 1 else f"net benefit per {number_of(cases, 'case')}"
    y = Axis(label, -0.25 * prevalence, 1.05 * prevalence, label_factor=cases)
    return Chart("Decision curve", x, y, [all_benign, all_malignant, *lines], marker="decision")


def referral_chart(stack: StackResults) -> Chart | None:
    """Return the risk-coverage curve with the operating points of the rule npv; None for a stack without the curve."""
    curve = stack.tables.get("risk_coverage")
    if curve is None:
        return None
    x = Axis("cases that need no referral", 0, 1, percent=True)
    y = Axis("malignant among them", 0, round_up(float(curve["risk_high"].max())), percent=True)
    lines = [Line(name, style, curve[["coverage", name]].to_numpy()) for name, style in RISK_LINES.items()]
    bars = [_referral_bar(point) for point in stack.operating_points if point.measures["npv"].value is not None]
    note = "Dashed: 95 %. Points: the frozen thresholds, measured on patients that did not choose them."
    return Chart("Risk and coverage", x, y, lines, bars, note=note)


def _referral_bar(point: OperatingPoint) -> Bar:
    npv, share = point.measures["npv"], point.measures["referred"]
    value, low, high = (1 - (each or 0.0) for each in (npv.value, npv.high, npv.low))
    shares = f"{100 * (1 - (share.value or 0.0)):.1f} % need no referral, {100 * value:.2f} % of them are malignant"
    return Bar(1 - (share.value or 0.0), value, low, high, f"{point.name}: {shares}")


def round_up(value: float) -> float:
    """Return a round limit just above ``value`` in (0, 1], at most 1."""
    step = round_step(max(value, 1e-6) / 4)
    return float(min(1.0, np.ceil(value / step) * step))


def roc_line(y: Floats, score: Floats, max_points: int = MAX_POINTS) -> Floats:
    """Return the ROC curve, (points, 2): 1 - specificity and sensitivity, from (0, 0) to (1, 1).

    ``y`` (n,) is 0/1 and has both classes; rows whose ``score`` (n,) is NaN are left out.
    """
    counts = _cumulative_counts(y, score, np.ones_like(y))
    return thin_line(np.vstack([[0.0, 0.0], counts[:, ::-1] / counts[-1, ::-1]]), max_points)


def precision_line(y: Floats, score: Floats, weights: Floats, max_points: int = MAX_POINTS) -> Floats:
    """Return the precision-recall curve, (points, 2): recall and precision, from the highest score down.

    ``weights`` (n,) are the weights of the rows; they move precision to another prevalence.
    """
    true_positives, false_positives = _cumulative_counts(y, score, weights).T
    first = int(np.argmax(true_positives > 0))  # above the first positive the precision is 0
    true_positives, false_positives = true_positives[first:], false_positives[first:]
    recall, precision = true_positives / true_positives[-1], true_positives / (true_positives + false_positives)
    return thin_line(np.column_stack([recall, precision]), max_points)


def decision_line(y: Floats, score: Floats, weights: Floats, thresholds: Floats) -> Floats:
    """Return the decision curve, (points, 2): threshold in [0, 1) and net benefit per case (Vickers & Elkin 2006).

    Net benefit is the share of true positives minus that of false positives times the odds of the threshold.
    """
    mask = ~np.isnan(score)
    y, score, weights = y[mask], score[mask], weights[mask]
    order = np.argsort(score, kind="stable")
    true_positives, false_positives = (np.r_[0.0, np.cumsum((weights * part)[order][::-1])] for part in (y, 1 - y))
    above = len(score) - np.searchsorted(score[order], thresholds, side="left")
    cost = false_positives[above] * ratio(thresholds, 1 - thresholds)
    benefit = (true_positives[above] - cost) / weights.sum()
    return np.column_stack([thresholds, benefit])


def all_malignant_line(prevalence: float, thresholds: Floats) -> Floats:
    """Return the decision curve, (points, 2), of predicting every case malignant."""
    benefit = prevalence - (1 - prevalence) * ratio(thresholds, 1 - thresholds)
    return np.column_stack([thresholds, benefit])


def thin_line(line: Floats, max_points: int = MAX_POINTS) -> Floats:
    """Return about ``max_points`` points of ``line`` (n, 2), evenly spaced along it, with both ends."""
    if len(line) <= max_points:
        return line
    length = np.r_[0.0, np.cumsum(np.abs(np.diff(line, axis=0)).sum(axis=1))]
    steps = np.searchsorted(length, np.linspace(0, length[-1], max_points))
    indices: NDArray[np.intp] = np.unique(np.r_[0, np.minimum(steps, len(line) - 1), len(line) - 1])
    return line[indices]


def _cumulative_counts(y: Floats, score: Floats, weights: Floats) -> Floats:
    """Return the weight of true and false positives, (levels, 2), at every distinct score from the highest down."""
    mask = ~np.isnan(score)
    levels, level_of = np.unique(-score[mask], return_inverse=True)
    parts = (weights * y, weights * (1 - y))
    return np.column_stack([np.cumsum(np.bincount(level_of, part[mask], len(levels))) for part in parts])
