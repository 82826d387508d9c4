"""The forest plots of a paper: the AUC of every model with what the stack gains over it, and the subgroups."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from level2_stack.evaluation.subgroups import MIN_CLASS_ROWS
from melstack.report.column_words import model_words
from melstack.report.formats import DASH, too_few
from melstack.report.model_card.writing import records
from melstack.report.paper.drawing import COLOURS, QUIET, PaperFigure
from melstack.report.paper.result_tables import common_threshold_words, subgroup_name
from melstack.report.paper.text_tables import interval
from melstack.report.run_page.inputs import StackResults

WIDTH, ROW_HEIGHT, MARGIN = 7.1, 0.2, 0.9  # inches; two columns of a journal
WORDS = 34  # characters of a name in a line


@dataclass(frozen=True)
class Panel:
    """One panel of a forest plot: ``title``, the columns of value and limits, the line to compare with, and digits.

    ``unknown`` is the text of a row without a value.
    """

    title: str
    columns: tuple[str, str, str]
    guide: float
    digits: int = 3
    sign: bool = False
    unknown: str = DASH


def forest_figures(stack: StackResults) -> list[PaperFigure]:
    """Return the forest of the models and the forest of the subgroups."""
    return [_models(stack), _subgroups(stack)]


def _models(stack: StackResults) -> PaperFigure:
    board = stack.board.copy()
    board.loc[stack.headline, ["gain", "gain_low", "gain_high"]] = np.nan  # no gain over itself
    labels = [model_words(stack.words.network(str(name))) for name in board.index]
    labels = [
        f"{label}, {name}" if labels.count(label) > 1 else label
        for label, name in zip(labels, board.index, strict=True)
    ]
    panels = [
        Panel("AUC (95 %)", ("auc", "low", "high"), float(board["auc"][stack.headline])),
        Panel("Gain of the stack (95 %)", ("gain", "gain_low", "gain_high"), 0.0, digits=4, sign=True),
    ]
    caption = (
        f"AUC of every model out of fold, and what {model_words(stack.headline)} ({stack.headline}) gains over it, "
        "paired; limits: patients resampled. Vertical line: its AUC, and no gain."
    )
    strong = [name == stack.headline for name in board.index]
    return forest("models", caption, board.reset_index(), labels, panels, strong)


def _subgroups(stack: StackResults) -> PaperFigure:
    table = stack.tables["subgroups"].copy()
    rows = records(table)
    table.loc[[bool(too_few(row)) for row in rows], ["auc", "auc_low", "auc_high"]] = np.nan
    labels = [f"{subgroup_name(row)} ({int(row['positives']):,} / {int(row['rows']):,})" for row in rows]
    panels = [
        Panel(title, (name, f"{name}_low", f"{name}_high"), float(table[name].iloc[0]), digits=2, unknown=unknown)
        for title, name, unknown in (
            ("AUC", "auc", "too few"),
            ("Sensitivity", "sensitivity", DASH),
            ("Specificity", "specificity", DASH),
        )
    ]
    caption = (
        f"AUC, sensitivity and specificity of {model_words(stack.headline)} ({stack.headline}) in subgroups, out "
        f"of fold. {common_threshold_words(stack)} In brackets malignant / all pictures. Limits: 95 %, patients "
        f"resampled; without them a subgroup has fewer than ten patients of a class, and no point is drawn. Too few: "
        f"under {MIN_CLASS_ROWS} malignant or benign pictures."
    )
    return forest("subgroups", caption, table, labels, panels, [row["kind"] == "all" for row in rows])


def forest(
    name: str, caption: str, table: pd.DataFrame, labels: Sequence[str], panels: Sequence[Panel], strong: Sequence[bool]
) -> PaperFigure:
    """Return a forest plot of the rows of ``table``, from the top, with a panel per measure beside one another.

    A row without limits has no point: its text is the value alone. ``strong`` rows have the first colour.
    """

    def draw(figure: Any) -> None:  # noqa: ANN401  matplotlib has no types
        for axes, panel in zip(np.atleast_1d(figure.subplots(1, len(panels), sharey=True)), panels, strict=True):
            _draw_panel(axes, table, panel, strong)
        figure.axes[0].set_yticks(range(len(labels)), labels)
        figure.axes[0].set_ylim(len(labels) - 0.5, -0.5)

    columns = [column for panel in panels for column in panel.columns]
    points = table[columns].set_axis(columns, axis=1)
    points.insert(0, "row", list(labels))
    return PaperFigure(name, caption, (WIDTH, MARGIN + ROW_HEIGHT * len(labels)), draw, points)


def _draw_panel(axes: Any, table: pd.DataFrame, panel: Panel, strong: Sequence[bool]) -> None:  # noqa: ANN401
    value, low, high = (table[column].to_numpy(dtype=np.float64) for column in panel.columns)
    axes.axvline(panel.guide, color=COLOURS["guide"], linewidth=0.8)
    for row, is_strong in enumerate(strong):
        text = interval(value[row], low[row], high[row], panel.digits, sign=panel.sign)
        text = panel.unknown if np.isnan(value[row]) else text
        axes.text(1.03, row, text, transform=axes.get_yaxis_transform(), va="center", fontsize=6)
        if np.isnan([value[row], low[row], high[row]]).any():
            continue
        colour = COLOURS["first"] if is_strong else QUIET
        axes.plot([low[row], high[row]], [row, row], color=colour, linewidth=1.2, solid_capstyle="butt")
        axes.plot(value[row], row, "s", color=colour, markersize=3.5)
    axes.set_title(panel.title, loc="left")
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.locator_params(axis="x", nbins=4)
