"""Geometry of all pages' charts: values to places in an SVG drawing whose colours the style sheet decides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from level2_stack.evaluation.auc import Floats

WIDTH, HEIGHT = 400.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 56.0, 16.0, 10.0, 42.0  # page.js knows them too
SMALL_WIDTH, SMALL_HEIGHT = 240, 80  # the view box of a distribution; the page stretches it
BINS = 32  # of a distribution
OUTSIDE = 0.005  # share of values cut off at each end: single pictures would flatten the rest


@dataclass(frozen=True)
class Axis:
    """One axis from ``low`` to ``high``; with ``root`` places go by square roots, so that small values have room.

    What is written at a tick is ``times`` its value: 1,000 where the label says "per 1,000".
    """

    label: str
    low: float
    high: float
    root: bool = False
    percent: bool = False
    times: int = 1

    def fraction(self, value: float) -> float:
        """Return where ``value`` stands: 0 at ``low``, 1 at ``high``."""
        if self.root:
            return float((np.sqrt(max(value, 0.0)) - np.sqrt(self.low)) / (np.sqrt(self.high) - np.sqrt(self.low)))
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Return about five round values within the axis."""
        if self.root:
            return self._apart()
        step = round_step((self.high - self.low) / 4)
        values = step * np.arange(np.ceil(self.low / step - 1e-9), np.floor(self.high / step + 1e-9) + 1)
        return [float(value) + 0.0 for value in np.round(values, 12)]  # + 0.0: no tick reads -0

    def _apart(self) -> list[float]:
        """Return ``low`` and, from the top, the round values that stand at least a seventh of the axis apart."""
        powers = 10.0 ** np.arange(np.floor(np.log10(self.high)), -7, -1)
        kept = [self.low]
        for value in (float(f"{factor * power:g}") for power in powers for factor in (5, 2, 1)):
            if value <= self.high and all(abs(self.fraction(value) - self.fraction(one)) > 1 / 7 for one in kept):
                kept.append(value)
        return sorted(kept)

    def tick_text(self, value: float) -> str:
        """Return ``value`` as it stands on the axis."""
        return f"{100 * value:.4g} %" if self.percent else f"{self.times * value:.4g}"


@dataclass(frozen=True)
class Line:
    """A line of a chart; ``style`` is its class in the style sheet."""

    name: str
    style: str
    points: Floats


@dataclass(frozen=True)
class Bar:
    """A point with its interval, upright, and what it says when pointed at."""

    x: float
    y: float
    low: float
    high: float
    title: str


@dataclass(frozen=True)
class Chart:
    """A chart: two axes, lines and points with intervals. ``marker`` names what the slider moves in it."""

    title: str
    x: Axis
    y: Axis
    lines: Sequence[Line] = field(default_factory=tuple)
    bars: Sequence[Bar] = field(default_factory=tuple)
    marker: str = ""
    note: str = ""

    def at_x(self, value: float) -> float:
        """Return the horizontal place of ``value``, in units of the drawing."""
        return round(LEFT + self.x.fraction(value) * (WIDTH - LEFT - RIGHT), 1)

    def at_y(self, value: float) -> float:
        """Return the vertical place of ``value``, in units of the drawing, from the top."""
        return round(HEIGHT - BOTTOM - self.y.fraction(value) * (HEIGHT - TOP - BOTTOM), 1)

    def path(self, line: Line) -> str:
        """Return ``line`` as the commands of an SVG path; a gap (NaN) breaks it."""
        known = line.points[~np.isnan(line.points).any(axis=1)]
        return "M" + "L".join(f"{self.at_x(x):g} {self.at_y(y):g}" for x, y in known) if len(known) else ""


@dataclass(frozen=True)
class Scale:
    """The range that the interval bars of one table column share."""

    low: float
    high: float
    zero: float | None = None

    def at(self, value: float) -> float:
        """Return the place of ``value`` in percent of the bar, within 0 to 100."""
        share = 100 * (value - self.low) / (self.high - self.low) if self.high > self.low else 50.0
        return round(float(np.clip(share, 0, 100)), 2)


def scale_over(*columns: Floats, zero: float | None = None) -> Scale:
    """Return the scale that holds all values of ``columns``, and ``zero``, with a little air; NaN is passed over."""
    values = np.concatenate([np.asarray(column, dtype=np.float64) for column in columns])
    values = np.append(values[~np.isnan(values)], [] if zero is None else [zero])
    if not len(values):
        return Scale(0.0, 1.0, zero)
    air = 0.06 * float(values.max() - values.min()) or 0.01
    return Scale(float(values.min()) - air, float(values.max()) + air, zero)


def round_step(step: float) -> float:
    """Return the largest of 1, 2, 2.5 and 5 times a power of ten that is at most ``step`` > 0."""
    power = 10.0 ** np.floor(np.log10(step))
    return float(max(power * factor for factor in (1, 2, 2.5, 5) if power * factor <= step * (1 + 1e-9)))


def distribution(title: str, parts: Mapping[str, pd.Series], **told: object) -> dict[str, Any]:
    """Return a chart of the distributions of ``parts`` (class of the style sheet -> values): a step path for each.

    All share one axis, from the 0.5 % to the 99.5 % quantile of all; each has the same area. ``told`` is handed on.
    """
    known = {name: values.dropna().to_numpy(dtype=np.float64) for name, values in parts.items()}
    known = {name: values for name, values in known.items() if len(values)}
    every = np.concatenate(list(known.values()))
    low, high = (float(limit) for limit in np.quantile(every, [OUTSIDE, 1 - OUTSIDE]))
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    shares = {name: np.histogram(np.clip(values, low, high), edges)[0] / len(values) for name, values in known.items()}
    top = max(float(share.max()) for share in shares.values())
    paths = [
        {"part": name, "line": step_path(share / top), "count": len(known[name])} for name, share in shares.items()
    ]
    axis = [tick(float(value)) for value in (edges[0], edges[BINS // 2], edges[-1])]
    return {"title": title, "paths": paths, "axis": axis, **told}


def step_path(heights: NDArray[np.float64]) -> str:
    """Return the outline of bars of ``heights`` (n,) in 0..1 as the ``d`` of an SVG path, closed on the ground."""
    x = np.linspace(0, SMALL_WIDTH, len(heights) + 1).round(1)
    y = (SMALL_HEIGHT - heights * (SMALL_HEIGHT - 2)).round(1)
    steps = "".join(f"V{level:g}H{right:g}" for level, right in zip(y, x[1:], strict=True))
    return f"M0 {SMALL_HEIGHT}{steps}V{SMALL_HEIGHT}Z"


def tick(value: float) -> str:
    """Return a number of an axis in few digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
