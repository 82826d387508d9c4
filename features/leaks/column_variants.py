"""What a column may tell apart from its order: ranges, a missing value, the last digit, the form of a code."""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Codes = NDArray[np.intp]
VALUES, MISSING = "its values", "whether it is missing"
RANGES = 32  # of a number
MOST_CATEGORIES = 500
RARE = 5  # cases; rarer texts count as one category, since their share of malignant cases cannot be estimated
MANY_RARE = 0.2  # share of cases with a rare text from which the form of the text is looked at
FEW_VALUES = 20  # different numbers from which digits are looked at


def variants(column: pd.Series, ranges: int = RANGES) -> Iterator[tuple[str, Codes]]:
    """Yield what is looked at and its categories, numbered from 0, for every variant of ``column`` (n,)."""
    missing = column.isna().to_numpy()
    yield VALUES, value_codes(column, ranges)
    if missing.any() and not missing.all():
        yield MISSING, missing.astype(np.intp)
    if pd.api.types.is_numeric_dtype(column):
        yield from _digits(column)
    else:
        yield from _forms(column)


def value_codes(column: pd.Series, ranges: int = RANGES) -> Codes:
    """Return the categories of ``column`` (n,): ranges of equal size of a number, texts; 0 is a missing value."""
    if not pd.api.types.is_numeric_dtype(column):
        return _text_codes(column, ranges)
    numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
    present = np.isfinite(numbers)
    distinct = np.unique(numbers[present])
    if not len(distinct):
        return np.zeros(len(column), np.intp)
    limits = (
        distinct if len(distinct) <= ranges else np.unique(np.quantile(numbers[present], np.arange(ranges) / ranges))
    )
    codes = np.searchsorted(limits, numbers, side="right")
    return np.where(present, codes, 0).astype(np.intp)


def _text_codes(column: pd.Series, ranges: int) -> Codes:
    most = MOST_CATEGORIES if ranges == RANGES else ranges
    counts = column.value_counts()
    frequent = counts.index[counts >= RARE][:most]
    number_of = {value: number for number, value in enumerate(frequent, 2)}
    codes = column.map(number_of).fillna(1).to_numpy(dtype=np.intp)
    return np.where(column.isna().to_numpy(), 0, codes)


def _of_unique(column: pd.Series, function: Callable[[str], object], texts: pd.Series) -> Codes:
    """Return the categories of ``function`` of each text; ``texts`` maps the different values to their texts."""
    forms = texts.map(function)
    return value_codes(column.map(forms).astype(object).where(column.notna()))


def _digits(column: pd.Series) -> Iterator[tuple[str, Codes]]:
    unique = column.dropna().unique()
    if len(unique) < FEW_VALUES:
        return
    texts = pd.Series([f"{value:.10g}" for value in unique.astype(np.float64)], index=unique)
    yield "its last digit", _of_unique(column, lambda text: text[-1], texts)
    yield "the number of its decimals", _of_unique(column, lambda text: len(text.partition(".")[2]), texts)


def _forms(column: pd.Series) -> Iterator[tuple[str, Codes]]:
    counts = column.value_counts()
    if counts[counts < RARE].sum() < MANY_RARE * max(int(counts.sum()), 1):
        return
    texts = pd.Series(counts.index.astype(str), index=counts.index)
    yield "its first character", _of_unique(column, lambda text: text[:1], texts)
    yield "its first characters", _of_unique(column, lambda text: text[:3], texts)
    yield "its last character", _of_unique(column, lambda text: text[-1:], texts)
    yield "its length", _of_unique(column, len, texts)
