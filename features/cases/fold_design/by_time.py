"""Assign cases to folds by time: each fold is a block of dates or years; only the last block is predicted forward."""

import numpy as np
import pandas as pd

from features.cases.fold_design.by_value import NamedFolds, check_classes
from features.words.dates import RULE, days_of
from features.words.spelling import MISSING_WORDS, plain_word
from runtime.errors import Faults, InputFault, list_names

YEARS = range(1900, 2101)


def folds_by_time(values: pd.Series, patients: pd.Series, target: pd.Series, *, count: int) -> NamedFolds:
    """Return at most ``count`` blocks of time as folds, numbered from the earliest; no patient is in two of them.

    The three series share an index of n cases; ``values`` are dates or years, and the name of the series is that of
    the column. All cases of a patient are at the time of the latest, so everything outside the last block is earlier
    than the block. One time is never divided; blocks are similar in cases and in malignant cases. Raises InputFault
    for missing or invalid dates, fewer than two times, and blocks that lack a class.
    """
    column, days = str(values.name), _days(values)
    latest = days.groupby(patients).transform("max")
    fold = _blocks(latest, target, count, column)
    words = values.astype(str).str.strip()
    names = tuple(_name(words, days[fold == number], latest[fold == number]) for number in range(fold.max() + 1))
    check_classes(fold, target, names, column)
    return NamedFolds(fold, names, tuple(_notes(column, names, fold, target, patients[days < _start(fold, latest)])))


def _start(fold: pd.Series, latest: pd.Series) -> pd.Series:
    """Return the first day of the block of every case."""
    return latest.groupby(fold).transform("min")


def _days(values: pd.Series) -> pd.Series:
    """Return the days from 1970-01-01; raise InputFault that lists missing and invalid dates together."""
    texts = values.map(lambda value: plain_word(str(value)))
    missing = texts.index[values.isna() | texts.isin(MISSING_WORDS)]
    unique = {str(text): _day(str(text)) for text in texts.drop(missing).unique()}
    invalid = [text for text, day in unique.items() if day is None]
    column, faults = str(values.name), Faults()
    if len(missing):
        rule = "fill it in, or leave these cases out"
        faults.add(f"{column} is missing in training cases: {list_names(missing)} of {len(values)}; {rule}")
    if invalid:
        faults.add(f"{column} must be {RULE}, or a year; found {list_names(invalid)}")
    faults.raise_if_any(f"folds by time, {column}")
    return texts.map(unique).astype(float)


def _day(text: str) -> float | None:
    if text.isdecimal() and int(text) in YEARS:
        return days_of(f"{text}-01-01")
    try:
        return days_of(text)
    except ValueError:
        return None


def _blocks(latest: pd.Series, target: pd.Series, count: int, column: str) -> pd.Series:
    """Return the block of every case, by its patient's latest day."""
    table = target.groupby(latest).agg(["size", "sum"])  # sorted by day
    if len(table) < 2:
        raise InputFault(f"folds by time: {column} has one time for all patients; folds need at least 2")
    share = (table / table.sum().clip(lower=1)).mean(axis=1)
    middle = (share.cumsum() - share / 2).to_numpy()
    number = np.arange(len(table)) if len(table) <= count else np.minimum((middle * count).astype(int), count - 1)
    block = pd.Series(np.unique(number, return_inverse=True)[1], index=table.index)
    return latest.map(block).astype("int8").rename("fold")


def _name(words: pd.Series, days: pd.Series, latest: pd.Series) -> str:
    """Return the first and last time of a block, as the table spells them; earlier cases of its patients aside."""
    own = days[days >= latest.min()]
    first, last = words[own.idxmin()], words[own.idxmax()]
    return first if own.min() == own.max() else f"{first} to {last}"


def _notes(column: str, names: tuple[str, ...], fold: pd.Series, target: pd.Series, earlier: pd.Series) -> list[str]:
    sizes, malignant = fold.value_counts(), target.groupby(fold).sum().astype(int)
    blocks = "; ".join(f"{number}: {name} {sizes[number]}/{malignant[number]}" for number, name in enumerate(names))
    notes = [
        f"folds by time, {column} (cases/malignant): {blocks}",
        f"only the last block, {names[-1]}, is predicted by models of earlier cases alone; every other block is "
        "predicted by models of earlier and later cases",
    ]
    if len(earlier):
        names_of_patients = list_names(sorted(earlier.unique()))
        notes.append(
            f"folds by time: patients with cases in several blocks: {names_of_patients}; all cases of a patient are in "
            "the block of the latest"
        )
    return notes
