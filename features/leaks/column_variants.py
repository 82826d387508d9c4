"""What a column may tell apart from its order: ranges, a missing value, the last digit, the form of a code."""

from collections.abc import Callable, Iterator, Sequence

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
    return _frequent(pd.factorize(column)[0], MOST_CATEGORIES if ranges == RANGES else ranges)


def _frequent(codes: Codes, most: int = MOST_CATEGORIES) -> Codes:
    """Return ``codes`` (n,), -1 where missing, as numbers: 0 is missing, 1 rare, from 2 on the ``most`` frequent."""
    counts = np.bincount(codes[codes >= 0])
    frequent = np.argsort(-counts, kind="stable")[:most]
    frequent = frequent[counts[frequent] >= RARE]
    numbers = np.ones(len(counts) + 1, np.intp)
    numbers[frequent] = np.arange(2, len(frequent) + 2)
    numbers[-1] = 0  # where -1 points to
    return numbers[codes]


def _of_texts(codes: Codes, texts: Sequence[str], function: Callable[[str], object]) -> Codes:
    """Return the categories of ``function`` of the text of each value; ``codes`` (n,) are positions in ``texts``."""
    forms = pd.factorize(np.array([function(text) for text in texts], dtype=object))[0]
    return _frequent(np.append(forms, -1)[codes])


def _digits(column: pd.Series) -> Iterator[tuple[str, Codes]]:
    codes, values = pd.factorize(column)
    if len(values) < FEW_VALUES:
        return
    texts = [f"{value:.10g}" for value in np.asarray(values, dtype=np.float64).tolist()]
    yield "its last digit", _of_texts(codes, texts, lambda text: text[-1])
    yield "the number of its decimals", _of_texts(codes, texts, lambda text: len(text.partition(".")[2]))


def _forms(column: pd.Series) -> Iterator[tuple[str, Codes]]:
    codes, values = pd.factorize(column)
    counts = np.bincount(codes[codes >= 0])
    if counts[counts < RARE].sum() < MANY_RARE * max(int(counts.sum()), 1):
        return
    texts = [str(value) for value in values]
    yield "its first character", _of_texts(codes, texts, lambda text: text[:1])
    yield "its first characters", _of_texts(codes, texts, lambda text: text[:3])
    yield "its last character", _of_texts(codes, texts, lambda text: text[-1:])
    yield "its length", _of_texts(codes, texts, len)
