"""The target of every training row: 0 or 1, or words for them that cannot mean anything else."""

import numpy as np
import pandas as pd

from features.faults import Faults, did_you_mean, named
from features.layout import MAPPING, Layout

WORDS = {"true": 1.0, "false": 0.0, "malignant": 1.0, "benign": 0.0}  # a target says whether a lesion is malignant
MOST_SHOWN = 5


def read_targets(raw: pd.DataFrame, layout: Layout, where: str, faults: Faults, notes: list[str]) -> np.ndarray:
    """Return the targets of the rows of a training CSV, float64, NaN where there is none.

    With ``positive`` in the layout, 1 is what it names and 0 all else; without it a target is 0 or 1, or a word for it,
    which ``notes`` is told. Targets that are missing or something else go to ``faults``.
    """
    name = layout.columns.target
    if name not in raw:
        return np.full(len(raw), np.nan)
    given, cases = raw[name], raw[layout.columns.image_name]
    if layout.positive:
        return _named_positive(given, cases, layout.positive, where, faults, notes)
    number = _numbers(given, where, name, notes)
    bad = ~np.isin(number, (0.0, 1.0))
    if bad.any():
        values = ", ".join(sorted({repr(value) for value in given[bad]})[:MOST_SHOWN])
        faults.add(
            f"{where}: {name} must be 0 or 1; found {values} in {named(cases[bad])}; for other words, "
            f'positive = ["..."] in {MAPPING} names those that mean malignant'
        )
    return number


def _named_positive(
    given: pd.Series, cases: pd.Series, positive: tuple[str, ...], where: str, faults: Faults, notes: list[str]
) -> np.ndarray:
    texts = given.map(lambda value: None if pd.isna(value) else str(value).strip())
    missing = texts.isna()
    if missing.any():
        faults.add(f"{where}: {given.name} is missing in {named(cases[missing])}")
    present = sorted(set(texts.dropna()))
    absent = [word for word in positive if word not in present]
    if len(absent) == len(positive):
        hint = did_you_mean(absent[0], present)
        faults.add(f"{where}: no {given.name} is one of those that positive names: {named(absent)}; {hint}")
    elif absent:
        notes.append(f"{where}: no {given.name} is {', '.join(map(repr, absent))}, which positive names")
    return np.where(missing, np.nan, texts.isin(positive)).astype(float)


def _numbers(given: pd.Series, where: str, name: str, notes: list[str]) -> np.ndarray:
    if given.dtype == bool:
        notes.append(f"{where}: {name}: read True as 1, False as 0")
    if given.dtype != object:
        return pd.to_numeric(given, errors="coerce").to_numpy(dtype=float)
    words = [str(value).strip().casefold() for value in given]
    used = sorted(set(words) & WORDS.keys())
    if used:
        pairs = ", ".join(f"{word!r} as {WORDS[word]:g}" for word in used)
        notes.append(f"{where}: {name}: read {pairs} in {sum(word in WORDS for word in words)} row(s)")
    plain = pd.Series([word.replace(",", ".") for word in words])
    return pd.to_numeric(plain.map(WORDS).fillna(pd.to_numeric(plain, errors="coerce"))).to_numpy(dtype=float)
