"""Write numbers for the page: digits, percent, intervals, and a dash for an unknown value."""

import math
from collections.abc import Mapping
from typing import Any

from melstack.report.column_words import bare_words, group_words, metric_words

DASH = "–"


def is_known(value: object) -> bool:
    """Return whether ``value`` is neither None nor NaN."""
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def number(value: float | None, digits: int = 4) -> str:
    """Return ``value`` with ``digits`` decimals, or a dash."""
    return f"{value:.{digits}f}" if value is not None and is_known(value) else DASH


def with_sign(value: float | None, digits: int = 4) -> str:
    """Return ``value`` with its sign and ``digits`` decimals, or a dash."""
    return f"{value:+.{digits}f}".replace("-", "−") if value is not None and is_known(value) else DASH


def percent(value: float | None) -> str:
    """Return a share in percent, with two decimals below 10 % and one above, or a dash."""
    if value is None or not is_known(value):
        return DASH
    return f"{100 * value:.{2 if abs(value) < 0.1 else 1}f} %"


def count(value: float | None) -> str:
    """Return a whole number with thousands separators, or a dash."""
    return f"{int(value):,}" if value is not None and is_known(value) else DASH


def limits(row: Mapping[str, Any], name: str, digits: int = 3) -> str:
    """Return ``[low, high]`` of the columns ``<name>_low`` and ``<name>_high`` of a row, or an empty text."""
    low, high = (row.get(f"{name}_{end}".lstrip("_")) for end in ("low", "high"))
    return f"[{number(low, digits)}, {number(high, digits)}]" if is_known(low) and is_known(high) else ""


def sort_key(value: object) -> str:
    """Return the text by which page.js sorts a cell: ``value`` with all its digits, "" for an unknown value."""
    return str(value) if is_known(value) else ""


def words(name: str) -> str:
    """Return the name of a file or column as words: ``hardest_false_negatives`` -> ``Hardest false negatives``."""
    text = name.replace("_", " ").strip()
    return text[:1].upper() + text[1:]


FILTERS = {
    "number": number,
    "with_sign": with_sign,
    "percent": percent,
    "count": count,
    "limits": limits,
    "sort_key": sort_key,
    "bare_words": bare_words,
    "group_words": group_words,
    "metric_words": metric_words,
}
