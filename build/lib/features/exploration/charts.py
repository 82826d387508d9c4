"""Distributions as paths of inline SVG: the page's style sheet gives them their colours, light or dark."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

WIDTH, HEIGHT = 240, 80  # of the view box; the page stretches it
BINS = 32
OUTSIDE = 0.005  # share of values cut off at each end: single pictures would flatten the rest


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
    x = np.linspace(0, WIDTH, len(heights) + 1).round(1)
    y = (HEIGHT - heights * (HEIGHT - 2)).round(1)
    steps = "".join(f"V{level:g}H{right:g}" for level, right in zip(y, x[1:], strict=True))
    return f"M0 {HEIGHT}{steps}V{HEIGHT}Z"


def tick(value: float) -> str:
    """Return a number of an axis in few digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
