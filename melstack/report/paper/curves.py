"""The curves of a paper: ROC, precision and recall, calibration, decision curve, as on the run page."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from level2_stack.evaluation.auc import LEVEL, Draws, Floats, PatientROC, RocWeights, replicate
from level2_stack.evaluation.metrics import AVERAGE_PRECISION, sensitivity_at
from melstack.report.charts import Chart
from melstack.report.column_words import model_words
from melstack.report.paper.drawing import COLOURS, INK, PaperFigure, draw_chart, points_table
from melstack.report.paper.text_tables import figures, interval, rows_by_name
from melstack.report.run_page.formats import percent
from melstack.report.run_page.inputs import StackResults
from melstack.report.run_page.thresholds import referral_chart, threshold_charts

SIZE = (3.5, 3.5)  # inches; the width of a column in most journals
MAX_POINTS = 2000  # of a line: finer than a printer's dots
BAND_PERCENTS = tuple(range(101))  # of specificity, at which the band of the ROC curve is computed
REPLICATES = 500
BINS = 40  # of the histograms below the calibration curve


def curve_figures(stack: StackResults) -> list[PaperFigure]:
    """Return the four curves of the headline beside the rank mean and the best network, and risk over coverage."""
    charts, referral = threshold_charts(stack, MAX_POINTS), referral_chart(stack)
    figures = [
        make(stack, chart) for make, chart in zip((_roc, _precision, _calibration, _decision), charts, strict=True)
    ]
    return figures + ([] if referral is None else [_referral(stack, referral)])


def roc_band(y: Floats, score: Floats, groups: NDArray[np.object_], replicates: int = REPLICATES) -> Floats:
    """Return the 95 % band of the ROC curve, (101, 3): 1 - specificity, lowest and highest sensitivity.

    At every whole percent of specificity: the percentiles, over resampled patients, of the highest sensitivity of any
    threshold with at least that specificity. ``y`` (n,) is 0/1, ``groups`` (n,) are the patients.
    """
    draws = Draws(groups, replicates=replicates, seed=0)
    roc = PatientROC(y, score, draws.patient_of, draws.patients)
    values = replicate({"": lambda counts: _sensitivities(roc(counts))}, draws, cells=4 * int(y.sum()) + 1)[""][:, 1:]
    low, high = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
    return np.column_stack([1 - np.array(BAND_PERCENTS) / 100, low, high])[::-1]


def _sensitivities(weights: RocWeights) -> Floats:
    return np.stack([sensitivity_at(weights, percent_) for percent_ in BAND_PERCENTS])


def _figure(
    name: str,
    caption: str,
    chart: Chart,
    columns: tuple[str, str],
    names: dict[str, str],
    **legend: Any,  # noqa: ANN401
) -> PaperFigure:
    def draw(figure: Any) -> None:  # noqa: ANN401  matplotlib has no types
        axes = figure.subplots()
        draw_chart(axes, chart, names)
        axes.legend(**legend)

    return PaperFigure(name, caption, SIZE, draw, points_table(chart, columns))


def _roc(stack: StackResults, chart: Chart) -> PaperFigure:
    score = stack.score(stack.headline)
    has_score = ~np.isnan(score)
    band = roc_band(stack.y[has_score], score[has_score], stack.groups[has_score])
    aucs = {name: interval(row["auc"], row["low"], row["high"], 3) for name, row in rows_by_name(stack.board).items()}
    names = {name: f"{model_words(stack.words.network(name))}\nAUC {text}" for name, text in aucs.items()}
    base = _figure(
        "roc", _caption(stack, "ROC curves"), chart, ("one_minus_specificity", "sensitivity"), names, loc="lower right"
    )

    def draw(figure: Any) -> None:  # noqa: ANN401
        base.draw(figure)
        axes = figure.axes[0]
        axes.fill_between(*band.T, color=COLOURS["first"], alpha=0.15, linewidth=0)
        axes.set_aspect("equal")

    rows = pd.DataFrame(band, columns=["one_minus_specificity", "low", "high"]).assign(
        line=f"{stack.headline}, 95 % band"
    )
    caption = f"{base.caption} Band: 95 % of resampled patients, for {stack.headline}."
    return replace(base, caption=caption, draw=draw, points=pd.concat([base.points, rows], ignore_index=True))


def _precision(stack: StackResults, chart: Chart) -> PaperFigure:
    metrics = stack.tables["metrics"]
    precisions = rows_by_name(metrics[metrics["metric"] == AVERAGE_PRECISION].set_index("model"))
    names = {"prevalence": f"prevalence {percent(stack.prevalence)}"}
    for name, row in precisions.items():
        values = interval(row["value"], row["low"], row["high"], 3)
        names[name] = f"{model_words(stack.words.network(name))}\naverage precision {values}"
    caption = _caption(stack, f"Precision and recall at a prevalence of {percent(stack.prevalence)}")
    return _figure("precision_recall", caption, chart, ("recall", "precision"), names, loc="upper right")


def _calibration(stack: StackResults, chart: Chart) -> PaperFigure:
    table = rows_by_name(stack.tables["calibration"].set_index("model"))[stack.headline]
    score, y, weights = stack.score(stack.headline), stack.y, stack.weights

    def draw(figure: Any) -> None:  # noqa: ANN401
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
        draw_chart(axes, chart, {stack.headline: "bins of equal count, 95 %"})
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
        f"{percent(stack.prevalence)}. {chart.note} Below: distribution of the probabilities of malignant (up) and "
        "benign (down) pictures, each with its own scale; the last bar holds all that are higher."
    )
    return PaperFigure("calibration", caption, (3.5, 4.0), draw, points_table(chart, ("predicted", "observed")))


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
    return _figure("decision_curve", caption, chart, ("threshold", "net_benefit_per_case"), names, loc="upper right")


def _referral(stack: StackResults, chart: Chart) -> PaperFigure:
    names = {"risk": "risk", "risk_low": "95 %", "risk_high": "_"}  # Matplotlib leaves "_" out of the legend
    caption = _caption(stack, f"Share of malignant cases among those without referral. {chart.note.rstrip('.')}")
    return _figure("risk_coverage", caption, chart, ("coverage", "risk"), names, loc="upper left")


def _caption(stack: StackResults, what: str) -> str:
    rows, positives, patients = len(stack.y), int(stack.y.sum()), stack.train["patient_id"].nunique()
    return f"{what}, out of fold: {rows:,} pictures, {positives:,} malignant, {patients:,} patients."
