"""The curves of a paper: ROC, precision and recall, calibration, decision curve, as on the run page."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from level2_stack.evaluation.auc import Floats
from level2_stack.evaluation.metrics import AVERAGE_PRECISION
from melstack.report.charts import Chart
from melstack.report.column_words import model_words
from melstack.report.formats import percent
from melstack.report.paper.bands import benefit_band, roc_band, smooth_curve
from melstack.report.paper.drawing import COLOURS, INK, PaperFigure, draw_chart, points_table
from melstack.report.paper.text_tables import figures, interval, rows_by_name
from melstack.report.run_page.inputs import StackResults
from melstack.report.run_page.thresholds import referral_chart, threshold_charts

SIZE = (3.5, 3.5)  # inches; the width of a column in most journals
MAX_POINTS = 2000  # of a line: finer than a printer's dots
SMOOTH = "Line and band: restricted cubic spline of the log odds, 95 % of resampled patients. "
BINS = 40  # of the histograms below the calibration curve


def curve_figures(stack: StackResults) -> list[PaperFigure]:
    """Return the four curves of the headline beside the rank mean and the best network, and risk over coverage."""
    charts, referral = threshold_charts(stack, MAX_POINTS), referral_chart(stack)
    figures = [
        make(stack, chart) for make, chart in zip((_roc, _precision, _calibration, _decision), charts, strict=True)
    ]
    return figures + ([] if referral is None else [_referral(stack, referral)])


def _figure(
    name: str,
    caption: str,
    chart: Chart,
    columns: tuple[str, str],
    names: dict[str, str],
    place: str,
    band: Floats | None = None,
) -> PaperFigure:
    """Return a figure of ``chart``; ``names`` and ``place`` are for the legend; ``band`` (k, 3): x, low, high."""

    def draw(figure: Any) -> None:  # noqa: ANN401  matplotlib has no types
        axes = figure.subplots()
        draw_chart(axes, chart, names)
        if band is not None:
            axes.fill_between(*band.T, color=COLOURS["first"], alpha=0.15, linewidth=0)
        axes.legend(loc=place)

    points = points_table(chart, columns)
    if band is not None:
        rows = pd.DataFrame(band, columns=[columns[0], "low", "high"]).assign(line="band")
        points = pd.concat([points, rows], ignore_index=True)
    return PaperFigure(name, caption, SIZE, draw, points)


def _roc(stack: StackResults, chart: Chart) -> PaperFigure:
    aucs = {name: interval(row["auc"], row["low"], row["high"], 3) for name, row in rows_by_name(stack.board).items()}
    names = {name: f"{model_words(stack.words.network(name))}\nAUC {text}" for name, text in aucs.items()}
    caption = f"{_caption(stack, 'ROC curves')} {_band_words(stack)}"
    columns = ("one_minus_specificity", "sensitivity")
    return _figure("roc", caption, chart, columns, names, "lower right", roc_band(stack))


def _precision(stack: StackResults, chart: Chart) -> PaperFigure:
    metrics = stack.tables["metrics"]
    precisions = rows_by_name(metrics[metrics["metric"] == AVERAGE_PRECISION].set_index("model"))
    names = {"prevalence": f"prevalence {percent(stack.prevalence)}"}
    for name, row in precisions.items():
        values = interval(row["value"], row["low"], row["high"], 3)
        names[name] = f"{model_words(stack.words.network(name))}\naverage precision {values}"
    caption = _caption(stack, f"Precision and recall at a prevalence of {percent(stack.prevalence)}")
    return _figure("precision_recall", caption, chart, ("recall", "precision"), names, "upper right")


def _calibration(stack: StackResults, chart: Chart) -> PaperFigure:
    table = rows_by_name(stack.tables["calibration"].set_index("model"))[stack.headline]
    score, y, weights, curve = stack.score(stack.headline), stack.y, stack.weights, smooth_curve(stack)
    bins = replace(chart, lines=[line for line in chart.lines if curve is None or line.name != stack.headline])

    def draw(figure: Any) -> None:  # noqa: ANN401
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
        if curve is not None:
            axes.fill_between(*curve[["probability", "low", "high"]].to_numpy().T, color=COLOURS["first"], alpha=0.15)
            axes.plot(curve["probability"], curve["observed"], color=COLOURS["first"], label="smooth curve, 95 %")
        draw_chart(axes, bins, {stack.headline: "bins of equal count"})
        axes.set_xlabel("")
        axes.tick_params(labelbottom=False)
        facts = (
            f"slope {figures(table['slope'], 2)}, in the large {figures(table['in_the_large'], 2)}\n"
            f"ECE {figures(table['ece'])}, Brier score {figures(table['brier'])}"
        )
        axes.text(0.04, 0.96, facts, transform=axes.transAxes, va="top", fontsize=6.5, color=INK)
        axes.legend(loc="lower right")
        _histograms(below, chart, score, y, weights)

    caption = (
        f"Calibration of {model_words(stack.headline)} ({stack.headline}), out of fold, at a prevalence of "
        f"{percent(stack.prevalence)}. {chart.note} {'' if curve is None else SMOOTH}Below: distribution of the "
        "probabilities of malignant (up) and benign (down) pictures, each with its own scale; the last bar holds all "
        "that are higher."
    )
    points = points_table(bins, ("predicted", "observed"))
    if curve is not None:
        points = pd.concat([points, curve.rename(columns={"probability": "predicted"}).assign(line="smooth")])
    return PaperFigure("calibration", caption, (3.5, 4.0), draw, points)


def _histograms(axes: Any, chart: Chart, score: Floats, y: Floats, weights: Floats) -> None:  # noqa: ANN401
    """Draw the distribution of the scores of malignant pictures upwards and of benign ones downwards."""
    axis = chart.x
    edges = (
        np.linspace(np.sqrt(axis.low), np.sqrt(axis.high), BINS + 1) ** 2
        if axis.is_square_root
        else np.linspace(axis.low, axis.high, BINS + 1)
    )
    for value, colour, sign in ((1, COLOURS["second"], 1), (0, COLOURS["third"], -1)):
        rows = (y == value) & ~np.isnan(score)
        heights = np.histogram(np.clip(score[rows], axis.low, axis.high), edges, weights=weights[rows])[0]
        axes.bar(edges[:-1], sign * heights / max(heights.max(), 1e-12), np.diff(edges), align="edge", color=colour)
    axes.axhline(0, color=INK, linewidth=0.5)
    axes.set(xlabel="Predicted probability", yticks=[0.5, -0.5], yticklabels=["malignant", "benign"])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False)


def _decision(stack: StackResults, chart: Chart) -> PaperFigure:
    names = {line.name: model_words(line.name) for line in chart.lines}
    caption = _caption(
        stack, f"Decision curves (Vickers and Elkin 2006) at a prevalence of {percent(stack.prevalence)}"
    )
    columns, band = ("threshold", "net_benefit_per_case"), benefit_band(stack, chart.x.high)
    return _figure("decision_curve", f"{caption} {_band_words(stack)}", chart, columns, names, "upper right", band)


def _referral(stack: StackResults, chart: Chart) -> PaperFigure:
    names = {"risk": "risk", "risk_low": "95 %", "risk_high": "_"}  # Matplotlib leaves "_" out of the legend
    caption = _caption(stack, f"Share of malignant cases among those without referral. {chart.note.rstrip('.')}")
    return _figure("risk_coverage", caption, chart, ("coverage", "risk"), names, "upper left")


def _band_words(stack: StackResults) -> str:
    return f"Band: 95 % of resampled patients, for {stack.headline}."


def _caption(stack: StackResults, what: str) -> str:
    rows, positives, patients = len(stack.y), int(stack.y.sum()), stack.train["patient_id"].nunique()
    return f"{what}, out of fold: {rows:,} pictures, {positives:,} malignant, {patients:,} patients."
