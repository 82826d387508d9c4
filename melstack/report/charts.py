"""Geometry of the charts on all pages: positions of values in an SVG drawing; the style sheet sets the colours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from level2_stack.evaluation.auc import Floats

WIDTH, HEIGHT = 400.0, 300.0
LEFT_MARGIN, RIGHT_MARGIN, TOP_MARGIN, BOTTOM_MARGIN = 56.0, 16.0, 10.0, 42.0  # page.js repeats them
SMALL_WIDTH, SMALL_HEIGHT = 240, 80  # view box of a distribution chart; the page stretches it
BINS = 32  # of a distribution
CLIPPED_SHARE = 0.005  # of the values at each end: a few extreme pictures would flatten the rest


@dataclass(frozen=True)
class Axis:
    """One axis from ``low`` to ``high``; a square-root scale (``is_square_root``) gives small values more room.

    A tick label shows the value times ``label_factor``: 1,000 if the axis label says "per 1,000".
    """

    label: str
    low: float
    high: float
    is_square_root: bool = False
    percent: bool = False
    label_factor: int = 1

    def fraction(self, value: float) -> float:
        """Return the position of ``value`` on the axis: 0 at ``low``, 1 at ``high``."""
        if self.is_square_root:
            return float((np.sqrt(max(value, 0.0)) - np.sqrt(self.low)) / (np.sqrt(self.high) - np.sqrt(self.low)))
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Return about five round values within the axis."""
        if self.is_square_root:
            return self._root_ticks()
        step = round_step((self.high - self.low) / 4)
        values = step * np.arange(np.ceil(self.low / step - 1e-9), np.floor(self.high / step + 1e-9) + 1)
        return [float(value) + 0.0 for value in np.round(values, 12)]  # + 0.0 turns -0.0 into 0.0

    def _root_ticks(self) -> list[float]:
        """Return ``low`` and round values, picked from the top, at least a seventh of the axis apart."""
        powers = 10.0 ** np.arange(np.floor(np.log10(self.high)), -7, -1)
        ticks = [self.low]
        for value in (float(f"{factor * power:g}") for power in powers for factor in (5, 2, 1)):
            if value <= self.high and all(abs(self.fraction(value) - self.fraction(tick)) > 1 / 7 for tick in ticks):
                ticks.append(value)
        return sorted(ticks)

    def tick_text(self, value: float) -> str:
        """Return the label of a tick at ``value``."""
        return f"{100 * value:.4g} %" if self.percent else f"{self.label_factor * value:.4g}"


@dataclass(frozen=True)
class Line:
    """A line of a chart; ``points`` is (n, 2), ``style`` the line's class in the style sheet."""

    name: str
    style: str
    points: Floats


@dataclass(frozen=True)
class Band:
    """The area between two limits; ``points`` is (n, 3): x, low, high."""

    name: str
    style: str
    points: Floats


@dataclass(frozen=True)
class Bar:
    """A point with a vertical interval; ``title`` is its tooltip."""

    x: float
    y: float
    low: float
    high: float
    title: str


@dataclass(frozen=True)
class Chart:
    """A chart: two axes, lines, and points with intervals.

    ``marker`` names the curve on which the slider moves a marker (a key of ``at`` in page.js); "" for none.
    """

    title: str
    x: Axis
    y: Axis
    lines: Sequence[Line] = field(default_factory=tuple)
    bars: Sequence[Bar] = field(default_factory=tuple)
    marker: str = ""
    note: str = ""
    bands: Sequence[Band] = field(default_factory=tuple)

    def at_x(self, value: float) -> float:
        """Return the horizontal position of ``value`` in units of the SVG's view box, from the left."""
        return round(LEFT_MARGIN + self.x.fraction(value) * (WIDTH - LEFT_MARGIN - RIGHT_MARGIN), 1)

    def at_y(self, value: float) -> float:
        """Return the vertical position of ``value`` in units of the SVG's view box, from the top."""
        return round(HEIGHT - BOTTOM_MARGIN - self.y.fraction(value) * (HEIGHT - TOP_MARGIN - BOTTOM_MARGIN), 1)

    def area(self, band: Band) -> str:
        """Return the outline of ``band`` as the ``d`` of a closed SVG path; points with NaN are left out."""
        points = band.points[~np.isnan(band.points).any(axis=1)]
        edge = [*((x, low) for x, low, _ in points), *((x, high) for x, _, high in points[::-1])]
        return "M" + "L".join(f"{self.at_x(x):g} {self.at_y(y):g}" for x, y in edge) + "Z" if edge else ""

    def path(self, line: Line) -> str:
        """Return the points of ``line`` as the ``d`` of an SVG path; points with NaN are left out."""
        points = line.points[~np.isnan(line.points).any(axis=1)]
        return "M" + "L".join(f"{self.at_x(x):g} {self.at_y(y):g}" for x, y in points) if len(points) else ""


@dataclass(frozen=True)
class Scale:
    """The range of values that the interval bars of one table column share."""

    low: float
    high: float
    zero: float | None = None

    def position(self, value: float) -> float:
        """Return the position of ``value`` in percent of the bar's width, clipped to 0..100."""
        share = 100 * (value - self.low) / (self.high - self.low) if self.high > self.low else 50.0
        return round(float(np.clip(share, 0, 100)), 2)


def scale_over(*columns: Floats, zero: float | None = None) -> Scale:
    """Return a scale that holds all values of ``columns``, and ``zero``, with a margin of 6 %; NaN is ignored."""
    values = np.concatenate([np.asarray(column, dtype=np.float64) for column in columns])
    values = np.append(values[~np.isnan(values)], [] if zero is None else [zero])
    if not len(values):
        return Scale(0.0, 1.0, zero)
    margin = 0.06 * float(values.max() - values.min()) or 0.01
    return Scale(float(values.min()) - margin, float(values.max()) + margin, zero)


def round_step(step: float) -> float:
    """Return the largest of 1, 2, 2.5 and 5 times a power of ten that is at most ``step`` > 0."""
    power = 10.0 ** np.floor(np.log10(step))
    return float(max(power * factor for factor in (1, 2, 2.5, 5) if power * factor <= step * (1 + 1e-9)))


def distribution(title: str, parts: Mapping[str, pd.Series], **extra: object) -> dict[str, Any]:
    """Return a chart of the distributions of ``parts`` (class of the style sheet -> values): a step path for each.

    All share one axis, from the 0.5 % to the 99.5 % quantile of all values; each path encloses the same area.
    ``extra`` entries are added to the chart unchanged.
    """
    values_of = {name: values.dropna().to_numpy(dtype=np.float64) for name, values in parts.items()}
    values_of = {name: values for name, values in values_of.items() if len(values)}
    all_values = np.concatenate(list(values_of.values()))
    low, high = (float(limit) for limit in np.quantile(all_values, [CLIPPED_SHARE, 1 - CLIPPED_SHARE]))
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    shares = {
        name: np.histogram(np.clip(values, low, high), edges)[0] / len(values) for name, values in values_of.items()
    }
    top = max(float(share.max()) for share in shares.values())
    paths = [
        {"part": name, "line": step_path(share / top), "count": len(values_of[name])} for name, share in shares.items()
    ]
    axis = [tick(float(value)) for value in (edges[0], edges[BINS // 2], edges[-1])]
    return {"title": title, "paths": paths, "axis": axis, **extra}


def step_path(heights: NDArray[np.float64]) -> str:
    """Return the outline of bars of ``heights`` (n,) in 0..1 as the ``d`` of a closed SVG path."""
    x = np.linspace(0, SMALL_WIDTH, len(heights) + 1).round(1)
    y = (SMALL_HEIGHT - heights * (SMALL_HEIGHT - 2)).round(1)
    steps = "".join(f"V{level:g}H{right:g}" for level, right in zip(y, x[1:], strict=True))
    return f"M0 {SMALL_HEIGHT}{steps}V{SMALL_HEIGHT}Z"


def tick(value: float) -> str:
    """Return the text of a number on an axis, with few digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
