"""Check the table that the estimator is given, and read its texts: ages, numbers, ids, copies of the target."""

import re
import warnings
from collections.abc import Collection

import numpy as np
import pandas as pd
from pandas.api import types

from features.cases.metadata.columns import names_an_id, reveals_diagnosis
from features.cases.metadata.columns_like_target import id_columns, target_columns
from features.cases.metadata.value_rules import DATES_AT_LEAST, NUMBERS_AT_LEAST, UNKNOWN
from features.cases.metadata_values import repair_values
from features.cases.patients import patient_keys
from features.words.ages import FILLERS, OLDEST
from features.words.dates import is_date
from level2_stack.design.tabular import Columns, Groups
from level2_stack.estimator_target import Floats
from runtime.errors import Faults, list_names


def check_shape(X: pd.DataFrame) -> None:
    """Raise ValueError unless ``X`` has rows, columns, and a different name for each column."""
    if X.shape[1] == 0:
        raise ValueError(f"X has no columns: 0 feature(s) (shape={X.shape}) while a minimum of 1 is required.")
    if len(X) == 0:
        raise ValueError(f"X has no rows: 0 sample(s) (shape={X.shape}) while a minimum of 1 is required.")
    names = X.columns.map(str)
    if not names.is_unique:
        raise ValueError(
            f"X has columns of the same name: {list_names(names[names.duplicated()].unique())}; rename them"
        )


def check_order(X: object, values: object, name: str) -> None:
    """Raise ValueError if the index of ``values`` says that its rows are in another order than those of ``X``."""
    if not isinstance(X, pd.DataFrame) or not isinstance(values, pd.Series | pd.DataFrame) or len(X) != len(values):
        return
    own, other = X.index, values.index
    if own.equals(other) or not (own.is_unique and other.is_unique):
        return
    remedy = f"pass {name}.loc[X.index] to follow the labels, or {name}.to_numpy() if the rows are in the order of X"
    if len(own.intersection(other)) == len(own):
        raise ValueError(f"{name}: its index has the labels of X in another order; {remedy}")
    if not types.is_numeric_dtype(own) and not types.is_numeric_dtype(other):
        strangers = list_names(other.difference(own, sort=False))
        raise ValueError(f"{name}: its index has labels that X does not have: {strangers}; {remedy}")


def read_texts(table: pd.DataFrame, roles: Collection[str], numbers: Collection[str] | None = None) -> pd.DataFrame:
    """Return ``table`` with texts that are numbers as numbers: ages such as ``45 years``, and columns of digits.

    ``roles`` are the columns of scores and groups, which stay. ``numbers``: the columns that are numbers in the fit;
    None if this is the fit, which warns of what is read as what. Raises InputFault (a ValueError) for implausible ages
    and for the few texts of a column that otherwise has numbers.
    """
    faults, notes, columns = Faults(), list[str](), _unknown_ages(table, roles)
    for name, values in columns.items():
        rows = table.index[values.isna() & table[name].notna()]
        notes.append(f"X: {name}: ages such as -1 or 999 are read as missing in {list_names(rows)}")
    for name in [str(name) for name in table if name not in roles and _has_text(table[name])]:
        values, is_age = _as_objects(table[name]), _is_age(name)
        if not (is_age or _holds_numbers(values) if numbers is None else name in numbers):
            continue
        if numbers is not None:  # few rows may have no number at all
            values = values.mask(_as_words(values).isin(("", *UNKNOWN)), np.nan)
        sentences, where = list[str](), f"X: {name}" if is_age and name != "age" else "X"
        columns[name] = repair_values(values, "age" if is_age else name, where, faults, sentences)
        notes += sentences or [f"X: {name}: text is read as numbers"]
    faults.raise_if_any("X")
    if notes and numbers is None:
        warnings.warn("; ".join(notes), stacklevel=3)
    return table.assign(**columns)


def _unknown_ages(table: pd.DataFrame, roles: Collection[str]) -> dict[str, pd.Series]:
    """Return the numeric columns of ages with -1, 999 and the like, as missing; a column of other numbers stays."""
    columns = dict[str, pd.Series]()
    for name in [str(name) for name in table if name not in roles and _is_age(str(name))]:
        values = table[name]
        is_filler = values.isin(FILLERS) if types.is_numeric_dtype(values) else pd.Series([False])
        if is_filler.any() and values[~is_filler].dropna().between(0, OLDEST).all():
            columns[name] = values.astype(float).mask(is_filler)
    return columns


def _is_age(name: str) -> bool:
    return "age" in re.split("[^a-z]+", name.casefold())


def _holds_numbers(values: pd.Series) -> bool:
    """Return whether a column of texts holds numbers or dates."""
    present = _as_words(values).replace(("", *UNKNOWN), np.nan).dropna().astype(str)
    dates = float(present.map(is_date).mean()) if len(present) else 0.0
    return dates >= DATES_AT_LEAST or _number_share(values) >= NUMBERS_AT_LEAST


def _has_text(values: pd.Series) -> bool:
    if types.is_numeric_dtype(values) or types.is_datetime64_any_dtype(values):
        return False
    return any(isinstance(value, str) for value in values)


def _as_objects(values: pd.Series) -> pd.Series:
    """Return ``values`` as objects, with NaN for every kind of missing value."""
    return values.astype(object).where(values.notna(), np.nan)


def _as_words(values: pd.Series) -> pd.Series:
    return values.map(lambda value: value.strip().casefold() if isinstance(value, str) else value)


def _number_share(values: pd.Series) -> float:
    """Return the share of numbers among the values that are not missing; at least one is."""
    words = _as_words(values).replace(("", *UNKNOWN), np.nan).dropna().astype(str).str.replace(",", ".")
    return float(pd.to_numeric(words, errors="coerce").notna().mean()) if len(words) else 0.0


def check_features(table: pd.DataFrame, columns: Columns, codes: Floats, groups: Groups, *, has_groups: bool) -> None:
    """Warn of columns that are ids, the groups again, or follow the target; refuse those that equal it (ValueError).

    ``codes`` (n,) is the target and ``groups`` (n,) the patients of the rows of ``table``.
    """
    if not (columns.scores or columns.numbers or columns.categories):
        raise ValueError("X has no column with values that is a score or a feature; it must have one")
    texts = {name: _as_objects(table[name]).map(str, na_action="ignore") for name in columns.categories}
    features = table[[*columns.scores, *columns.numbers]].assign(**texts)
    copies = target_columns(features, pd.Series(codes), pd.Series(groups))
    equal = [name for name in copies if _equals(features[name], codes)]
    if equal:
        raise ValueError(f"X: columns that equal y in every row: {list_names(equal)}; leave them out of X")
    sentences = [
        f"{name}: {reason}; leave it out if it is known only after the diagnosis" for name, reason in copies.items()
    ]
    repeats = [
        name for name in columns.categories + columns.numbers if has_groups and _are_groups(features[name], groups)
    ]
    ids = id_columns(
        features[[name for name in (*columns.numbers, *columns.categories) if name not in (*copies, *repeats)]],
        pd.Series(groups),
    )
    sentences += [f"{name}: {reason}: it looks like an id; leave it out" for name, reason in ids.items()]
    sentences += [
        f"{name}: it is the groups again, not a feature; leave it out, or name it in group_column" for name in repeats
    ]
    sentences += _name_sentences(features, {*copies, *ids, *repeats, *columns.scores})
    if sentences:
        warnings.warn("X: " + "; ".join(sentences), stacklevel=3)


def _name_sentences(features: pd.DataFrame, others: Collection[str]) -> list[str]:
    """Return a sentence per column, other than ``others``, that is an id or known only after the diagnosis by name."""
    sentences = []
    for name in [str(name) for name in features if name not in others]:
        if names_an_id(name):
            sentences.append(f"{name}: its name says that it is an id; leave it out, or pass it as groups")
        elif reveals_diagnosis(name) and not _is_score(features[name]):
            sentences.append(f"{name}: its name says that it is known only after the diagnosis; leave it out if it is")
    return sentences


def _is_score(values: pd.Series) -> bool:
    """Return whether a column holds probabilities, such as those of a network for another class."""
    return types.is_numeric_dtype(values) and bool(values.between(0, 1).all() and (values % 1 != 0).any())


def _equals(values: pd.Series, codes: Floats) -> bool:
    """Return whether the column has one value per class."""
    if values.isna().any() or values.nunique() != 2:
        return False
    is_first = (values == values.iloc[0]).to_numpy()
    return bool((is_first == (codes == codes[0])).all())


def _are_groups(values: pd.Series, groups: Groups) -> bool:
    return bool((patient_keys(values) == groups).all()) and len(np.unique(groups)) > 2
