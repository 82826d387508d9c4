"""The target of every training row: which values count as 1, as 0, or are left out, each said with its count."""

from collections.abc import Iterable
from itertools import islice

import numpy as np
import pandas as pd

from features.cases.patients import of_unique
from features.folder.layout import LABEL_COLUMNS, MAPPING, Layout
from features.folder.notes import warning
from features.words.diagnoses import is_benign, is_melanoma, is_uncertain, means_malignant
from features.words.spelling import plain_word
from runtime.errors import MAX_NAME_LENGTH, Faults, did_you_mean, list_names
from runtime.plural import number_of

# The target says whether a lesion is malignant.
ONES = ("true", "t", "yes", "y", "malignant", "positive")
ZEROS = ("false", "f", "no", "n", "benign", "negative")
WORDS = dict.fromkeys(ONES, 1.0) | dict.fromkeys(ZEROS, 0.0)
MOST_VALUES = 12
MOST_SHOWN = 5


def read_targets(raw: pd.DataFrame, layout: Layout, where: str, faults: Faults, notes: list[str]) -> pd.Series:
    """Return the targets (float64, 0 or 1) of the rows of a training table; rows that are left out are not in it.

    With ``positive`` in the layout, its values are 1 and all others 0, or those in ``negative`` if it is given. Without
    it a target is 0 or 1, or a word that means 0 or 1. Values in ``drop``, and missing ones with
    ``drop_missing_target``, are left out. Values are compared without case and blanks; "" is an empty cell. ``notes``
    collects the counts of all values, and warnings of values whose word contradicts their target; ``faults`` the
    missing and invalid ones. The result is NaN where a fault is found or the column is missing.
    """
    if layout.columns.target not in raw:
        return pd.Series(np.nan, index=raw.index)
    values = raw[layout.columns.target]
    words = pd.Series(of_unique(values, lambda value: plain_word(str(value)) or None), index=raw.index, dtype=object)
    if "" in (*layout.positive, *layout.negative, *layout.drop):  # an empty cell is a value, such as no cross
        words = words.fillna("")
    is_dropped = words.isin(_plain(layout.drop)) | (words.isna() & layout.drop_missing_target)
    rows = pd.DataFrame({"value": values, "word": words})
    valid = rows[~is_dropped] if is_dropped.any() else rows
    rows["target"] = _numbers(valid, raw[layout.columns.image_name], layout, where, faults, notes)
    _note_absent(words, layout, where, notes)
    notes.append(f"{where}: {values.name}: {_counts(rows, is_dropped, raw, layout)}")
    valid = rows[~is_dropped] if is_dropped.any() else rows
    if layout.positive:
        _warn_of_zeros(valid, layout, where, notes)
    _warn_of_labels(valid, raw, layout, where, notes)
    return valid["target"]


def _numbers(
    rows: pd.DataFrame, cases: pd.Series, layout: Layout, where: str, faults: Faults, notes: list[str]
) -> pd.Series:
    """Return 0 or 1 for every row (columns value, word), NaN for missing and invalid words, which are faults."""
    name, words = layout.columns.target, rows["word"]
    if words.isna().any():
        faults.add(
            f"{where}: {name} is missing in {list_names(cases[words.index[words.isna()]])}; to leave these rows out, "
            f"set drop_missing_target = true in {MAPPING}"
        )
    if layout.positive:
        numbers = _from_lists(words, layout)
        reason = "in positive or in negative"
        remedy = f"add each to positive, negative or drop in {MAPPING}"
        _check_positive(rows, layout, where, faults)
    else:
        numbers = words.map({word: _number(word) for word in words.dropna().unique()}).astype(float)
        reason = "0 or 1"
        remedy = (
            f'name the values for malignant in {MAPPING}: positive = ["..."], and those to leave out: drop = ["..."]'
        )
        _note_words(words, name, where, notes)
    invalid = words.notna() & numbers.isna()
    if invalid.any():
        examples = ", ".join(sorted({_example(value) for value in rows.loc[invalid, "value"]})[:MOST_SHOWN])
        faults.add(
            f"{where}: {name} must be {reason}; found {examples} in {list_names(cases[words.index[invalid]])}; {remedy}"
        )
    return numbers


def _from_lists(words: pd.Series, layout: Layout) -> pd.Series:
    is_positive = words.isin(_plain(layout.positive))
    is_valid = is_positive | words.isin(_plain(layout.negative)) if layout.negative else words.notna()
    return is_positive.astype(float).where(is_valid)


def _number(word: str) -> float:
    """Return 0 or 1 for a word that means it, NaN for another."""
    try:
        number = WORDS[word] if word in WORDS else float(word.replace(",", "."))
    except ValueError:
        return np.nan
    return number if number in (0.0, 1.0) else np.nan


def _check_positive(rows: pd.DataFrame, layout: Layout, where: str, faults: Faults) -> None:
    present = rows["word"].dropna().unique()
    if not np.isin(present, list(_plain(layout.positive))).any():
        hint = did_you_mean(layout.positive[0], sorted({str(value).strip() for value in rows["value"].dropna()}))
        absent = f"none of the values in positive: {list_names(layout.positive)}"
        faults.add(f"{where}: {layout.columns.target} has {absent}; {hint}")


def _note_absent(words: pd.Series, layout: Layout, where: str, notes: list[str]) -> None:
    """Note the values of the lists that no row has; they may be misspelt."""
    present = set(words.dropna())
    for key in ("positive", "drop"):  # any other value is refused or counted as 0
        absent = [value for value in getattr(layout, key) if plain_word(value) not in present]
        if absent:
            notes.append(f"{where}: {layout.columns.target} never is {', '.join(map(repr, absent))}, which is in {key}")


def _note_words(words: pd.Series, name: str, where: str, notes: list[str]) -> None:
    is_word = words.isin(WORDS)
    if is_word.any():
        pairs = ", ".join(f"{word!r} as {WORDS[word]:g}" for word in sorted(words[is_word].unique()))
        notes.append(f"{where}: {name}: read {pairs} in {number_of(int(is_word.sum()), 'row')}")


def _counts(rows: pd.DataFrame, is_dropped: pd.Series, raw: pd.DataFrame, layout: Layout) -> str:
    """Return the values that count as 1, as 0 and that are left out, each with its number of rows."""
    labels = [name for name in LABEL_COLUMNS if name in raw and name != layout.columns.target]
    label = None if layout.positive or not labels else raw[labels[0]]
    ones, zeros = rows[rows["target"] == 1], rows[rows["target"] == 0]
    parts = [f"counted as 1: {_list_values(ones, label)}", f"as 0: {_list_values(zeros, label)}"]
    return "; ".join([*parts, *([f"left out: {_list_values(rows[is_dropped], None)}"] if is_dropped.any() else [])])


def _list_values(rows: pd.DataFrame, label: pd.Series | None) -> str:
    """Return the most frequent values of ``rows`` with their counts, and the same for the ``label`` of these rows."""
    is_number = not rows.empty and set(rows["word"].unique()) in ({"0"}, {"1"})
    values = f"{len(rows)}" if is_number else _list_counts(rows["value"])
    return values if label is None or rows.empty else f"{values} ({label.name}: {_list_counts(label[rows.index])})"


def _list_counts(values: pd.Series) -> str:
    """Return every word with its count, most frequent first, in its most frequent spelling; missing ones last."""
    codes, unique = pd.factorize(values.to_numpy(dtype=object))
    table = pd.DataFrame(
        {"value": unique, "count": np.bincount(codes[codes >= 0], minlength=len(unique))}, dtype=object
    )
    table = table.assign(word=[_label_word(value) for value in unique]).sort_values(
        "count", ascending=False, kind="stable"
    )
    words = table.groupby("word", sort=False).agg({"value": "first", "count": "sum"})
    words = words.sort_values("count", ascending=False, kind="stable")
    rows = zip(words.index.map(str), words["value"], words["count"], strict=True)
    texts = [f"{_quote(value, word)} {count}" for word, value, count in islice(rows, MOST_VALUES)]
    texts += ["..."] * (len(words) > MOST_VALUES)
    missing = int((codes < 0).sum())
    return ", ".join([*texts, *([f"missing {missing}"] if missing else [])]) or "none"


def _quote(value: object, word: str) -> str:
    """Return a value as a message shows it: text without outer blanks, and a number without ``.0``."""
    text = " ".join(value.split())[:MAX_NAME_LENGTH] if isinstance(value, str) else word
    return text if text.isprintable() else repr(text)


def _label_word(value: object) -> str:
    return plain_word(str(value))


def _example(value: object) -> str:
    return repr(value) if isinstance(value, str) else plain_word(str(value))


def _plain(values: Iterable[str]) -> set[str]:
    return {plain_word(value) for value in values}


def _warn_of_zeros(rows: pd.DataFrame, layout: Layout, where: str, notes: list[str]) -> None:
    """Warn of words counted as 0, without being in ``negative``, that mean malignant or leave the diagnosis open."""
    zeros = rows[(rows["target"] == 0) & ~rows["word"].isin(_plain(layout.negative))]
    words = [str(word) for word in zeros["word"].unique()]
    malignant = {word for word in words if means_malignant(word, _plain(layout.positive))}
    uncertain = {word for word in words if is_uncertain(word)} - malignant
    for group, reason in (
        (malignant, "although the word is like those in positive"),
        (uncertain, "although the word leaves the diagnosis open"),
    ):
        part = zeros[zeros["word"].isin(group)]
        if len(part):
            counts = _list_counts(part["value"])
            remedy = f"add each to positive, negative or drop in {MAPPING}"
            notes.append(warning(f"{where}: {layout.columns.target}: counted as 0, {reason}: {counts}; {remedy}"))


def _warn_of_labels(rows: pd.DataFrame, raw: pd.DataFrame, layout: Layout, where: str, notes: list[str]) -> None:
    """Warn of rows whose diagnosis contradicts their target."""
    name = layout.columns.target
    for column in [column for column in LABEL_COLUMNS if column in raw and column != name]:
        labels = pd.Series(of_unique(raw.loc[rows.index, column], _label_word), index=rows.index, dtype=object)
        # Without a diagnosis, malignant may be another cancer than the melanoma that the target means.
        is_wrong_zero = is_melanoma if column == "diagnosis" or "diagnosis" in raw else means_malignant
        for target, is_wrong in ((0, is_wrong_zero), (1, is_benign)):
            mine = labels[rows["target"] == target]
            wrong = mine[mine.isin([word for word in mine.dropna().unique() if is_wrong(str(word))])].index
            counts, cases = _list_counts(raw.loc[wrong, column]), list_names(raw.loc[wrong, layout.columns.image_name])
            text = f"{where}: {name} is {target} where {column} says {counts}: {cases}; check them"
            notes += [warning(text)] if len(wrong) else []
