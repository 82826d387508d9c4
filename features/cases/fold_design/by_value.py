"""Assign cases to folds by the values of a column, such as the hospital: each fold is one value, or several."""

from dataclasses import dataclass

import pandas as pd

from features.cases.fold_design.by_patient import assign_groups
from features.cases.patients import patient_keys
from features.cases.tied_patients import connected_groups
from features.folder.notes import warning
from runtime.errors import Faults, InputFault, list_names
from runtime.invocation import option
from runtime.plural import number_of

MOST_FOLDS = 20  # that a message proposes: every fold is trained on its own


@dataclass(frozen=True)
class NamedFolds:
    """The fold (int8) of every training case, the name of each fold, and notes on how they came about."""

    fold: pd.Series
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def folds_by_value(values: pd.Series, patients: pd.Series, target: pd.Series, *, count: int, seed: int) -> NamedFolds:
    """Return at most ``count`` folds, so that no value of ``values`` and no patient is in two of them.

    The three series share an index of n cases; the name of ``values`` is that of the column. Values that have a patient
    in common are one group. With up to ``count`` groups each is a fold; more are joined to ``count`` folds, balanced
    as patients are in ``assign_folds``. They pass ``check_values``. Raises InputFault for patients who connect
    all values, and for folds that lack a class.
    """
    column = str(values.name)
    keys = _keys(values)
    words = values.map(lambda value: " ".join(str(value).split())).groupby(keys).first()
    groups, notes = _groups_by_patients(keys, patients, words, column)
    fold = _fold_of_group(groups, target, count, seed)
    names = tuple(_name(part, words) for _, part in keys.groupby(fold))
    check_classes(fold, target, names, column)
    if (number := groups.nunique()) > count:
        remedy = f"; {option('folds', number)} leaves out one at a time" if number <= MOST_FOLDS else ""
        notes.append(f"folds by {column}: {number_of(number, 'value')} in {count} folds{remedy}")
    return NamedFolds(fold, names, (_sentence(column, names, fold, target), *notes))


def check_classes(fold: pd.Series, target: pd.Series, names: tuple[str, ...], column: str) -> None:
    """Raise InputFault that names every fold without a malignant or without a benign case."""
    faults = Faults()
    for number, part in target.groupby(fold):
        if part.nunique() < 2:
            word = "malignant" if not part.any() else "benign"
            faults.add(f"{names[int(str(number))]} has no {word} case among {len(part)}")
    faults.raise_if_any(f"folds by {column}: every fold needs both classes; use fewer folds ({option('folds', 'N')})")


def _sentence(column: str, names: tuple[str, ...], fold: pd.Series, target: pd.Series) -> str:
    sizes, malignant = fold.value_counts(), target.groupby(fold).sum().astype(int)
    parts = [f"{number}: {name} {sizes[number]}/{malignant[number]}" for number, name in enumerate(names)]
    return f"folds by {column} (cases/malignant): {'; '.join(parts)}"


def check_values(values: pd.Series, patients: pd.Series) -> None:
    """Raise InputFault that lists why ``values`` make no folds: some are missing, or they are too few or too many."""
    column, keys, faults = str(values.name), _keys(values), Faults()
    missing, number, people = keys.index[keys.isna()], keys.nunique(), patients.nunique()
    if len(missing):
        faults.add(
            f"{column} is missing in training cases: {list_names(missing)} of {len(keys)}; fill it in: a word of its "
            "own, such as other, makes them a value of their own"
        )
    if number < 2:
        faults.add(f"{column} has {number_of(number, 'value')}; folds need at least 2")
    elif number >= people:
        faults.add(
            f"{column} has {number_of(number, 'value')} for {number_of(people, 'patient')}: these would be folds by "
            "patient, which are the default; name a column whose values have several patients each"
        )
    faults.raise_if_any(f"folds by {column}")


def _keys(values: pd.Series) -> pd.Series:
    """Return the form that all spellings of a value share, None for a missing one."""
    return pd.Series(patient_keys(values), index=values.index, dtype=object)


def _groups_by_patients(
    keys: pd.Series, patients: pd.Series, words: pd.Series, column: str
) -> tuple[pd.Series, list[str]]:
    """Return the group of values of every case, named by its first value, and warnings of patients who join values."""
    edges = pd.DataFrame({"value": keys, "patient": patients}).drop_duplicates()
    travellers = edges["patient"].value_counts().pipe(lambda counts: sorted(counts.index[counts > 1]))
    if not travellers:
        return keys, []
    groups = keys.map(connected_groups(edges["value"], edges["patient"]))
    who = f"patients with cases of several values: {list_names(travellers)}"
    if groups.nunique() < 2:
        raise InputFault(
            f"folds by {column}: {who}; they connect all {len(words)} values, and no patient may be in two folds; "
            f"correct {column} or patient_id, or leave these cases out"
        )
    shares = "; ".join(_name(part, words) for _, part in keys.groupby(groups) if part.nunique() > 1)
    return groups, [warning(f"folds by {column}: {who}; values that share a fold because of them: {shares}")]


def _fold_of_group(groups: pd.Series, target: pd.Series, count: int, seed: int) -> pd.Series:
    names = sorted(groups.unique(), key=_natural)
    if len(names) > count:
        return assign_groups(groups, target, count=count, seed=seed)
    return groups.map({name: number for number, name in enumerate(names)}).astype("int8").rename("fold")


def _natural(name: str) -> tuple[bool, int, str]:
    """Return a key that sorts whole numbers by size, before words."""
    return (False, int(name), "") if name.isascii() and name.isdecimal() else (True, 0, name)


def _name(keys: pd.Series, words: pd.Series) -> str:
    return " and ".join(map(str, words[sorted(keys.unique(), key=_natural)]))
