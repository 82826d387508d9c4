"""Geometry of the charts on all pages: positions of values in an SVG drawing; the style sheet sets the colours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from level2_stack.evaluation.auc import Floats
from runtime.plural import number_of

WIDTH, HEIGHT = 400.0, 300.0
LEFT_MARGIN, RIGHT_MARGIN, TOP_MARGIN, BOTTOM_MARGIN = 56.0, 16.0, 10.0, 42.0  # charts.js repeats them
BINS = 32  # of a distribution
MAX_TICKS = 3  # of the scale of a table column, which is narrow
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

    ``marker`` names the curve on which the slider moves a marker (a key of ``at`` in page.js); "" for none. ``raw`` is
    the column behind a title in words.
    """

    title: str
    x: Axis
    y: Axis
    lines: Sequence[Line] = field(default_factory=tuple)
    bars: Sequence[Bar] = field(default_factory=tuple)
    marker: str = ""
    note: str = ""
    bands: Sequence[Band] = field(default_factory=tuple)
    raw: str = ""

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
    """The range of values that all bars of the same kind share on a page, with the words for what it measures."""

    low: float
    high: float
    zero: float | None = None
    label: str = ""
    percent: bool = False

    def position(self, value: float) -> float:
        """Return the position of ``value`` in percent of the bar's width, clipped to 0..100."""
        share = 100 * (value - self.low) / (self.high - self.low) if self.high > self.low else 50.0
        return round(float(np.clip(share, 0, 100)), 2)

    def ticks(self) -> list[tuple[float, str]]:
        """Return position in percent and text of about three round values; none for a scale without a range."""
        if not self.high > self.low:
            return []
        axis = Axis(self.label, self.low, self.high, percent=self.percent)
        values = axis.ticks()
        return [(self.position(value), axis.tick_text(value)) for value in values[:: -(-len(values) // MAX_TICKS)]]


def scale_over(*columns: Floats, zero: float | None = None, label: str = "", limits: Sequence[float] = ()) -> Scale:
    """Return a scale that holds all values of ``columns``, and ``zero``, with a margin of 6 %; NaN is ignored.

    It does not go beyond ``limits``, the lowest and the highest value that the measure can have.
    """
    values = np.concatenate([np.asarray(column, dtype=np.float64) for column in columns])
    values = np.append(values[~np.isnan(values)], [] if zero is None else [zero])
    lowest, highest = limits or (-np.inf, np.inf)
    if not len(values):
        return Scale(max(0.0, lowest), min(1.0, highest), zero, label)
    margin = 0.06 * float(values.max() - values.min()) or 0.01
    low, high = max(float(values.min()) - margin, lowest), min(float(values.max()) + margin, highest)
    return Scale(low, high, zero, label)


def auc_scale(*columns: Floats) -> Scale:
    """Return the one scale of all AUCs on a page; chance (0.5) is a line on it if it is within."""
    scale = scale_over(*columns, label="AUC", limits=(0.0, 1.0))
    return replace(scale, zero=0.5) if scale.low <= 0.5 <= scale.high else scale


def rate_scale(high: float, label: str) -> Scale:
    """Return a scale of shares from 0 to ``high``."""
    return Scale(0.0, min(1.0, high) or 1.0, label=label, percent=True)


def round_step(step: float) -> float:
    """Return the largest of 1, 2, 2.5 and 5 times a power of ten that is at most ``step`` > 0."""
    power = 10.0 ** np.floor(np.log10(step))
    return float(max(power * factor for factor in (1, 2, 2.5, 5) if power * factor <= step * (1 + 1e-9)))


@dataclass(frozen=True)
class Distribution:
    """What a chart of distributions shows: the words and the raw name of a column, its parts, and a note.

    ``parts`` maps a class of the style sheet to values; at least one is not NaN.
    """

    title: str
    raw: str
    parts: Mapping[str, pd.Series]
    note: str = ""


def distributions(columns: Sequence[Distribution]) -> list[Chart]:
    """Return a chart per column: the share of the pictures of every part in `BINS` bins of the column's values.

    The horizontal axis goes from the 0.5 % to the 99.5 % quantile of all values; the vertical axis is the same in all.
    """
    areas = [_areas(column) for column in columns]
    top = max((float(band.points[:, 2].max()) for bands in areas for band in bands), default=1.0)
    return [_distribution(column, bands, top) for column, bands in zip(columns, areas, strict=True)]


def _areas(column: Distribution) -> list[Band]:
    """Return the outline of a histogram for every part that has values."""
    values_of = {name: values.dropna().to_numpy(dtype=np.float64) for name, values in column.parts.items()}
    values_of = {name: values for name, values in values_of.items() if len(values)}
    limits = np.quantile(np.concatenate(list(values_of.values())), [CLIPPED_SHARE, 1 - CLIPPED_SHARE])
    low, high = (float(limit) for limit in limits)
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    return [_area(name, values, edges) for name, values in values_of.items()]


def _area(name: str, values: Floats, edges: Floats) -> Band:
    shares = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / len(values)
    x, heights = np.repeat(edges, 2)[1:-1], np.repeat(shares, 2)
    return Band(f"{name}: {number_of(len(values), 'picture')}", name, np.column_stack([x, np.zeros_like(x), heights]))


def _distribution(column: Distribution, bands: Sequence[Band], top: float) -> Chart:
    x = Axis(column.title, float(bands[0].points[0, 0]), float(bands[0].points[-1, 0]))
    y = Axis("share of the pictures", 0.0, top, percent=True)
    return Chart(column.title, x, y, bands=bands, note=column.note, raw=column.raw)
