"""Leaks through columns of the case table."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.planting.cases import LeakyTables
from benchmarks.planting.source import Source

# Kind -> function of the untouched tables, the strength (0, 1, 2) and a generator of random numbers.
KINDS: dict[str, Callable[[Source, int, np.random.Generator], LeakyTables]] = {}
