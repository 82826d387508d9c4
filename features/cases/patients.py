"""The ids of patients: which spellings are one patient, and which values say that the patient is unknown."""

import re
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.cases.names import check_names
from features.words.spelling import MISSING_WORDS, plain_word
from runtime.errors import Faults
from runtime.plural import number_of

FILLER = re.compile(r"0+|9{3,}")  # a number that may stand for a missing patient
MANY_ROWS, MANY_TIMES = 20, 10  # a filler among numbers has so many rows, and so many times those of any other id
WORDS_AT_LEAST = 0.9  # share of ids that are words, from which a number among them is a filler
MOST_SHOWN = 3
Keys = NDArray[np.object_]


def patient_key(text: str) -> str | None:
    """Return the form of a patient's id that all its spellings share; None if it says that the patient is unknown.

    Spellings of one id differ in blanks, case, Unicode form, or as ``1`` and ``1.0``.
    """
    plain = plain_word(text)
    return None if plain in MISSING_WORDS else plain


def patient_keys(values: Iterable[object]) -> Keys:
    """Return the ``patient_key`` (n,) of every id, as objects; None for a missing one. Ids may have several types."""
    return of_unique(values, lambda value: patient_key(str(value)))


def of_unique(values: Iterable[object], function: Callable[[object], str | None]) -> Keys:
    """Return ``function`` of every value (n,), computed once per different value; None where it is missing."""
    codes, unique = pd.factorize(np.asarray(values, dtype=object))
    results = np.array([*map(function, unique), None], dtype=object)  # the code of a missing value is -1
    return np.asarray(results[codes], dtype=object)


def check_patients(values: pd.Series, where: str, faults: Faults, notes: list[str], lesion: str | None) -> pd.Series:
    """Return the ids of a table as text without outer blanks, None for missing ones, which ``notes`` counts.

    ``lesion`` is the name of the column that groups the rows without a patient; None without one. ``faults`` collects
    the same as in ``check_names``.
    """
    codes, unique = pd.factorize(values.to_numpy(dtype=object))
    words = pd.Series(unique, name=values.name, dtype=object)
    ids = check_names(words.where(pd.notna(patient_keys(words))), str(values.name), where, faults, notes, paths=True)
    texts = np.array([*(None if pd.isna(text) else str(text) for text in ids), None], dtype=object)
    result = pd.Series(texts[codes], index=values.index, dtype=object)
    is_missing = result.isna()
    if is_missing.any():
        counts = values[is_missing].map(lambda value: str(value).strip(), na_action="ignore").value_counts()
        spellings = [f"{word!r} {count}" for word, count in counts.head(MOST_SHOWN).items() if word]
        reasons = f" ({', '.join(spellings)})" if spellings else ""
        rows = number_of(int(is_missing.sum()), "row")
        notes.append(
            f"{where}: {values.name} is missing in {rows}{reasons}: {_group_of_missing(str(values.name), lesion)}"
        )
    return result


def _group_of_missing(column: str, lesion: str | None) -> str:
    if lesion is None or lesion == column:
        return "each of these cases is a patient of its own"
    return f"these cases are grouped by {lesion} instead, and one without it is a patient of its own"


def blank_fillers(rows: pd.DataFrame, notes: list[str]) -> None:
    """Remove numbers such as 0 from the patients of ``rows`` where they can only stand for a missing patient.

    Train and test cases are one data set, and so is every external folder.
    """
    for source, part in rows.groupby(rows["source"].fillna(""), sort=False):
        keys = pd.Series(patient_keys(part["patient_id"]), index=part.index, dtype=object)
        counts = keys.value_counts()
        for filler in fillers(keys):
            rows.loc[keys.index[keys == filler], "patient_id"] = None
            data = f"extra {source}: " if source else ""
            reason = f"patient_id {filler!r} in {number_of(int(counts[filler]), 'row')} is a filler, not a patient"
            notes.append(f"{data}{reason} (the other ids are unlike it); these cases have no patient")


def fillers(keys: Iterable[object]) -> list[str]:
    """Return the numbers among the keys of all rows that can only stand for a missing patient."""
    counts = pd.Series(np.asarray(keys, dtype=object), dtype=object).value_counts()
    return [str(key) for key in counts.index if FILLER.fullmatch(str(key)) and _is_filler(str(key), counts)]


def _is_filler(key: str, counts: pd.Series) -> bool:
    others = counts.drop(key)
    others = others[[not FILLER.fullmatch(str(other)) for other in others.index]]
    if others.empty:
        return False
    words = np.mean([not str(other).isdecimal() for other in others.index])
    return bool(words >= WORDS_AT_LEAST or counts[key] >= max(MANY_ROWS, MANY_TIMES * others.max()))
