"""Encode age, sex and site of a case as numbers for a network's metadata branch, with the fixed vocabularies below.

Nothing is learnt from other rows, so a row has the same encoding in training, in validation and alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from runtime.errors import InputFault, list_names

if TYPE_CHECKING:
    import pandas as pd

# Names of the columns in a case table; the first that exists is read.
SEX_COLUMNS = ("sex",)
AGE_COLUMNS = ("age_approx", "age")
SITE_COLUMNS = ("anatom_site_general_challenge", "anatom_site_general", "anatom_site", "localization", "site")

OLDEST = 90.0  # years: the highest age in SIIM-ISIC 2020; the winner of that contest also divided ages by it
MISSING = "missing"
OTHER = "other"
# The contest's spellings first, then those of ISIC 2019 and of HAM10000.
SITES: Mapping[str, tuple[str, ...]] = {
    "head/neck": ("head/neck", "head", "neck", "face", "scalp", "ear"),
    "upper extremity": ("upper extremity", "arm", "hand"),
    "lower extremity": ("lower extremity", "leg", "foot"),
    "torso": ("torso", "anterior torso", "posterior torso", "lateral torso", "trunk", "back", "chest", "abdomen"),
    "palms/soles": ("palms/soles", "palm", "sole", "acral"),
    "oral/genital": ("oral/genital", "oral", "genital"),
}
SEXES: Mapping[str, tuple[str, ...]] = {"male": ("male", "m"), "female": ("female", "f")}
BLANKS = frozenset({"", "unknown", "unspecified", "not given", "n/a", "na", "nan", "none", "null"})

SEX_NAMES = (*SEXES, MISSING)
SITE_NAMES = (*SITES, OTHER, MISSING)
# The names of the columns that encode_metadata returns, the same for every table of cases.
COLUMNS = (
    *(f"sex: {name}" for name in SEX_NAMES),
    "age / 90",
    "age: missing",
    *(f"site: {name}" for name in SITE_NAMES),
)


def encode_metadata(cases: pd.DataFrame) -> np.ndarray:
    """Return float32 (n, len(COLUMNS)), all in 0..1: sex and site one-hot, age / 90 clipped (0 where it is missing).

    If the table lacks a column, its value is missing in every row; a site outside the vocabulary is "other".
    Only age, sex and site are read; a sex that is neither female nor male is encoded as missing, since there is no
    column for it. Raises InputFault for an age that is not a number.
    """
    sex = _one_hot(_sexes(_column(cases, SEX_COLUMNS)), SEX_NAMES)
    age = _ages(_column(cases, AGE_COLUMNS), cases.index)
    site = _one_hot(_sites(_column(cases, SITE_COLUMNS)), SITE_NAMES)
    return np.hstack([sex, age, site]).astype(np.float32)


def _column(cases: pd.DataFrame, names: tuple[str, ...]) -> list[str]:
    """Return the texts of the first column that exists, in lower case; blank where a value or the column is missing."""
    present = [name for name in names if name in cases]
    if not present:
        return [""] * len(cases)
    values = cases[present[0]]
    return ["" if blank else str(value).strip().casefold() for value, blank in zip(values, values.isna(), strict=True)]


def _sexes(texts: list[str]) -> list[str]:
    name_of = _names_by_spelling(SEXES)
    return [name_of.get(text, MISSING) for text in texts]


def _sites(texts: list[str]) -> list[str]:
    name_of = _names_by_spelling(SITES)
    return [name_of.get(re.sub(r"\s*/\s*", "/", text), OTHER) for text in texts]


def _ages(texts: list[str], index: pd.Index) -> np.ndarray:
    blank = np.array([text in BLANKS for text in texts], bool)
    years = np.array([0.0 if is_blank else _number(text) for text, is_blank in zip(texts, blank, strict=True)])
    if np.isnan(years).any():
        raise InputFault(
            f"column age: not a number of years in {list_names(index[np.isnan(years)])}; "
            "write a number, or leave the cell empty"
        )
    return np.column_stack([np.clip(years / OLDEST, 0.0, 1.0), blank])


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _names_by_spelling(vocabulary: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    names = {spelling: name for name, spellings in vocabulary.items() for spelling in spellings}
    return names | dict.fromkeys(BLANKS, MISSING)


def _one_hot(names: list[str], vocabulary: tuple[str, ...]) -> np.ndarray:
    codes = np.array([vocabulary.index(name) for name in names], int)
    return np.asarray(np.eye(len(vocabulary))[codes])
