"""Facts of whatever type as values that JSON has."""

import math
from collections.abc import Mapping, Sequence

import numpy as np


def plain(value: object) -> object:
    """Return ``value`` as JSON knows it: NumPy's numbers as Python's, what is not finite as None, the rest as text."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, int | float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, Sequence | set | frozenset | np.ndarray):
        return [plain(each) for each in value]
    return str(value)
