"""Draw figures of a paper with Matplotlib: the page's charts and colours, as SVG, PDF and PNG, with their points."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from level2_stack.evaluation.auc import Floats
from melstack.report.charts import Axis, Chart
from runtime.files import replacing, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 300
FORMATS: Mapping[str, Mapping[str, None]] = {
    "svg": {"Date": None},  # without a date the same run gives the same bytes
    "pdf": {"CreationDate": None},
    "png": {},
}
# The colours of the style sheet on light ground; lines differ in their dashes too, for print without colour.
COLOURS = {"first": "#2f5bea", "second": "#d9730d", "third": "#0f9488", "guide": "#9aa4b4", "axis": "#9aa4b4"}
INK, QUIET, GRID = "#151a23", "#5d6778", "#e3e7ee"
DASHES = {"first": "-", "second": (0, (5, 1.5)), "third": (0, (3, 1, 1, 1)), "guide": (0, (1, 1.5)), "axis": "-"}
STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with Matplotlib, so that every machine draws the same
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "svg.fonttype": "none",  # texts stay texts, which a journal can edit
    "svg.hashsalt": "melstack",  # names within the file do not change from run to run
    "pdf.fonttype": 42,
}


@dataclass(frozen=True)
class PaperFigure:
    """A figure: its name and caption, its size in inches, what is drawn, and the points in it."""

    name: str
    caption: str
    size: tuple[float, float]
    draw: Callable[[Any], None]  # takes an empty matplotlib.figure.Figure
    points: pd.DataFrame

    def write(self, folder: Path) -> list[Path]:
        """Write ``<name>`` as .svg, .pdf, .png (300 dpi) and .csv (the points) into ``folder``; return their paths."""
        from matplotlib import rc_context  # slow to import
        from matplotlib.figure import Figure

        with rc_context({**STYLE}):
            figure = Figure(figsize=self.size, layout="constrained")
            self.draw(figure)
            _save(figure, folder / self.name)
        write_text(folder / f"{self.name}.csv", self.points.to_csv(index=False))
        return [folder / f"{self.name}.{suffix}" for suffix in (*FORMATS, "csv")]


def _save(figure: Figure, stem: Path) -> None:
    for suffix, metadata in FORMATS.items():
        with replacing(stem.with_name(f"{stem.name}.{suffix}")) as path:
            figure.savefig(path, dpi=DPI, metadata={**metadata})


def draw_chart(axes: Any, chart: Chart, names: Mapping[str, str]) -> None:  # noqa: ANN401  matplotlib has no types
    """Draw a chart of the run page on Matplotlib's ``axes``; ``names``: name of a line -> its text in the legend."""
    for line in chart.lines:
        points = line.points[~np.isnan(line.points).any(axis=1)]
        label = names.get(line.name, line.name)
        width = 1.5 if line.style == "first" else 1.1
        axes.plot(*points.T, color=COLOURS[line.style], linestyle=DASHES[line.style], linewidth=width, label=label)
    draw_bars(axes, np.array([[bar.x, bar.y, bar.low, bar.high] for bar in chart.bars]).reshape(-1, 4))
    set_axis(axes, "x", chart.x)
    set_axis(axes, "y", chart.y)


def draw_bars(axes: Any, bars: Floats) -> None:  # noqa: ANN401
    """Draw points with vertical limits; ``bars`` (n, 4) are x, y, low, high."""
    if len(bars):
        x, y, low, high = bars.T
        limits = np.maximum([y - low, high - y], 0.0)  # Wilson's limits may miss a share of 0 or 1 by rounding
        axes.errorbar(x, y, yerr=limits, fmt="o", color=COLOURS["first"], markersize=2.5, linewidth=0.7, capsize=1.5)


def set_axis(axes: Any, which: str, axis: Axis) -> None:  # noqa: ANN401
    """Give ``axes`` the limits, the scale, the ticks and the label of ``axis``; ``which`` is "x" or "y"."""
    if axis.is_square_root:
        getattr(axes, f"set_{which}scale")("function", functions=(lambda v: np.sqrt(np.maximum(v, 0)), np.square))
    ticks = axis.ticks()
    getattr(axes, f"set_{which}lim")(axis.low, axis.high)
    getattr(axes, f"set_{which}ticks")(ticks, [axis.tick_text(tick).replace("-", "−") for tick in ticks])
    getattr(axes, f"set_{which}label")(axis.label[:1].upper() + axis.label[1:])


def points_table(chart: Chart, columns: Sequence[str]) -> pd.DataFrame:
    """Return the points of all lines of ``chart``, and of its bars with their limits; ``columns`` name x and y."""
    x, y = columns
    tables = [pd.DataFrame(line.points, columns=[x, y]).assign(line=line.name) for line in chart.lines]
    bars = [[bar.x, bar.y, bar.low, bar.high] for bar in chart.bars]
    tables += [pd.DataFrame(bars, columns=[x, y, "low", "high"]).assign(line="bins")] if bars else []
    return pd.concat(tables, ignore_index=True).reindex(columns=["line", x, y, *(["low", "high"] if bars else [])])
