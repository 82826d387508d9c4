"""How the page writes numbers: digits, percent, intervals, and a dash for what is not known."""

import math
from collections.abc import Mapping
from typing import Any

DASH = "–"


def known(value: object) -> bool:
    """Tell whether ``value`` is there: neither None nor NaN."""
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def number(value: float | None, digits: int = 4) -> str:
    """Return ``value`` with ``digits`` decimals, or a dash."""
    return f"{value:.{digits}f}" if value is not None and known(value) else DASH


def signed(value: float | None, digits: int = 4) -> str:
    """Return ``value`` with its sign and ``digits`` decimals, or a dash."""
    return f"{value:+.{digits}f}".replace("-", "−") if value is not None and known(value) else DASH


def percent(value: float | None) -> str:
    """Return a share in percent with three significant digits at the most two decimals, or a dash."""
    if value is None or not known(value):
        return DASH
    return f"{100 * value:.{2 if abs(value) < 0.1 else 1}f} %"


def count(value: float | None) -> str:
    """Return a whole number with separators, or a dash."""
    return f"{int(value):,}" if value is not None and known(value) else DASH


def limits(row: Mapping[str, Any], name: str, digits: int = 3) -> str:
    """Return ``[low, high]`` of the columns ``<name>_low`` and ``<name>_high`` of a row, or nothing."""
    low, high = (row.get(f"{name}_{end}".lstrip("_")) for end in ("low", "high"))
    return f"[{number(low, digits)}, {number(high, digits)}]" if known(low) and known(high) else ""


def sort_key(value: object) -> str:
    """Return what a column is sorted by: a number in full, an empty text for what is not known, else the text."""
    return str(value) if known(value) else ""


def words(name: str) -> str:
    """Return a name of files or columns as words: ``hardest_false_negatives`` -> ``Hardest false negatives``."""
    spaced = name.replace("_", " ").strip()
    return spaced[:1].upper() + spaced[1:]


FILTERS = {
    "number": number,
    "signed": signed,
    "percent": percent,
    "count": count,
    "limits": limits,
    "sort_key": sort_key,
    "words": words,
}
