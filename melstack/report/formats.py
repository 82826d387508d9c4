"""Write numbers for the page: digits, percent, intervals, and a dash for an unknown value."""

import math
from collections.abc import Mapping
from typing import Any

from level2_stack.evaluation.subgroups import too_few_for_auc
from melstack.report.column_words import bare_words, group_words, metric_words, model_words, sentence_words
from runtime.plural import number_of

DASH = "–"
SHORT = 8  # characters of a digest on a page and in the name of a folder of the history


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


def moment(time: str) -> str:
    """Return a time of the record of commands to the minute: ``2026-11-29T09:30:05Z`` -> ``2026-11-29 09:30``."""
    return time[:16].replace("T", " ")


def short_commit(commit: str | None) -> str:
    """Return a commit with 8 of its digits, and with its mark of changes; a dash without one."""
    digits, plus, changes = (commit or DASH).partition("+")
    return f"{digits[:8]}{plus}{changes}"


def metric_label(row: Mapping[str, Any]) -> str:
    """Return the metric of a row of metrics.csv in words, with the prevalence for which it holds, if it has one."""
    words, prevalence = metric_words(str(row["metric"])), row.get("prevalence")
    return f"{words} at a prevalence of {percent(prevalence)}" if is_known(prevalence) else words


def limits(row: Mapping[str, Any], name: str, digits: int = 3) -> str:
    """Return ``[low, high]`` of the columns ``<name>_low`` and ``<name>_high`` of a row, or an empty text."""
    low, high = (row.get(f"{name}_{end}".lstrip("_")) for end in ("low", "high"))
    return f"[{number(low, digits)}, {number(high, digits)}]" if is_known(low) and is_known(high) else ""


def sort_key(value: object) -> str:
    """Return the text by which page.js sorts a cell: ``value`` with all its digits, "" for an unknown value."""
    return str(value) if is_known(value) else ""


def short(digest: str) -> str:
    """Return the first characters of a digest."""
    return digest[:SHORT]


def too_few(row: Mapping[str, Any]) -> str:
    """Return the words for a row of subgroups that has too few pictures of a class for an AUC; "" if it has enough."""
    return too_few_for_auc(int(row["positives"]), int(row["rows"]))


FILTERS = {
    "short": short,
    "too_few": too_few,
    "model_words": model_words,
    "sentence_words": sentence_words,
    "number": number,
    "with_sign": with_sign,
    "percent": percent,
    "count": count,
    "number_of": number_of,
    "moment": moment,
    "short_commit": short_commit,
    "limits": limits,
    "sort_key": sort_key,
    "bare_words": bare_words,
    "group_words": group_words,
    "metric_label": metric_label,
    "metric_words": metric_words,
}
