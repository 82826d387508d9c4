"""Read what notebooks write in place of plain numbers: lists of one number, tensors, percent, decimal commas, folds."""

import re

import numpy as np
import pandas as pd

from level2_stack.foreign.checks import Findings
from runtime.errors import list_names
from runtime.plural import number_of

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
# [0.62], (0.62), tensor(0.62), tensor([0.62], device='cuda:0'), array([0.62], dtype=float32), np.float32(0.62), 62 %
IN_BRACKETS = rf"(?:[A-Za-z_.]*\d*\s*\(\s*)?[\[(\s]*({NUMBER}),?[\])\s]*(?:,\s*[a-z_]+=[^)]*)?\)?"
SEVERAL = re.compile(rf"[\[(]\s*{NUMBER}[,\s]+{NUMBER}")
FORMS = (
    (re.compile(rf"({NUMBER})\s*%"), 0.01, "a percent sign: divided by 100"),
    (re.compile(r"([-+]?\d*,\d+(?:[eE][-+]?\d+)?)"), 1.0, "a decimal comma"),
    (re.compile(IN_BRACKETS), 1.0, "one number in brackets"),
)
MOST_FOLD_NAMES = 50  # more different texts are not the names of folds


def plain_numbers(column: pd.Series, where: str, findings: Findings) -> pd.Series:
    """Return ``column`` with texts that can mean one number only as numbers, which is said; other texts stay.

    All texts must have the same form, since a file in which only some have a comma or brackets is damaged.
    """
    texts = _texts(column)
    if texts.empty:
        return column
    several = texts[texts.str.contains(SEVERAL)]
    if len(several):
        findings.faults.append(
            f"{where}: {column.name!r} holds several numbers per case in rows: {list_names(several.index)}; "
            "write the probability of melanoma alone"
        )
    for form, factor, words in FORMS:
        numbers = texts.str.strip().str.extract(f"^{form.pattern}$")[0].str.replace(",", ".", regex=False)
        if numbers.notna().all():
            findings.add_reading(
                f"{where}: {column.name!r} has {words} in {number_of(len(texts), 'row')}; "
                f"{texts.iloc[0]!r} is read as {float(numbers.iloc[0]) * factor:g}"
            )
            values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, copy=True)
            values[column.notna() & np.isnan(values)] = numbers.to_numpy(np.float64) * factor
            return pd.Series(values, index=column.index, name=column.name)
    return column


def _texts(column: pd.Series) -> pd.Series:
    """Return the cells of ``column`` that have a value but are not numbers, as text."""
    if pd.api.types.is_numeric_dtype(column):
        return pd.Series(dtype=str)
    is_text = column.notna() & pd.to_numeric(column, errors="coerce").isna()
    return column[is_text].astype(str)


def fold_numbers(column: pd.Series, where: str, findings: Findings) -> pd.Series:
    """Return the column fold as numbers where its texts are the names of folds (fold0, Fold 1, a); else unchanged.

    A name with one number at its end has this number; other names are numbered in their order.
    """
    texts = _texts(column)
    if texts.empty or texts.size < column.notna().sum() or texts.nunique() > MOST_FOLD_NAMES:
        return column
    names = sorted(texts.unique())
    ends = {name: re.fullmatch(r"\D*(\d+)\D*", name) for name in names}
    numbers = {name: int(end[1]) for name, end in ends.items() if end}
    if len(set(numbers.values())) < len(names):
        numbers = {name: place for place, name in enumerate(names)}
    pairs = ", ".join(f"{name!r} as {numbers[name]}" for name in names[:3])
    findings.add_reading(f"{where}: {number_of(len(names), 'fold')} with names, read as numbers: {pairs}")
    return texts.map(numbers).reindex(column.index).astype(np.float64)
