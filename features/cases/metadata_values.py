"""Metadata values as people write them: unambiguous ones are repaired with a note, the others are refused.

Every value is read by itself, so that the same text means the same in training, test and new cases.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from features.cases.metadata.value_rules import (
    SEX,
    Rule,
    Value,
    is_number,
    read_age,
    read_date,
    read_sex,
    rule_of_column,
)
from features.words.ages import AGE, FILLERS, NO_BIRTH, OLDEST, YEARS_OF_BIRTH, is_year_of_birth
from features.words.dates import START
from runtime.errors import MAX_NAME_LENGTH, Faults, list_names
from runtime.plural import number_of

DATE_NAME = re.compile(r"date|birth|dob|(?:^|_)day(?:_|$)", re.IGNORECASE)
MOST_SHOWN = 3


def repair_values(values: pd.Series, column: str, where: str, faults: Faults, notes: list[str]) -> pd.Series:
    """Return the ``values`` (index image_name) of a metadata column in one spelling.

    Ages are years, sex is female or male (or another word), sites are in lower case; other columns are numbers or
    texts; dates are numbers of days. ``notes`` collects repairs, ``faults`` the implausible values with their cases.
    """
    if pd.api.types.is_datetime64_any_dtype(values) or _holds_compact_dates(values, column):
        values = pd.to_datetime(values, format="%Y%m%d").dt.strftime("%Y-%m-%d").astype(object)
    if pd.api.types.is_numeric_dtype(values):
        return _check_numbers(values, column, where, faults, notes)
    is_text = pd.api.types.infer_dtype(values, skipna=True) == "string"
    texts = values if is_text else values.map(lambda value: value if isinstance(value, str) else None)
    counts = texts.value_counts()
    rule = rule_of_column(column, [str(text) for text in counts.index], counts.to_numpy())
    value_of, wrong = _apply(rule, [str(text) for text in counts.index])
    for reason, bad_texts in wrong.items():
        cases = values.index[texts.isin(bad_texts)]
        faults.add(
            f"{where}: {column} must be {reason}; found {_list_texts([_quote(text) for text in bad_texts])} "
            f"in {list_names(cases)}"
        )
    if rule is read_date:
        notes.append(_sentence_on_dates(value_of, texts, column, where))
    else:
        _note_repairs(value_of, texts, column, where, notes)
    if rule is read_sex:
        notes += _other_sexes(value_of, counts, column, where)
    if wrong or not _changes_any(value_of):
        return values
    replacements = {text: np.nan if value is None else value for text, value in value_of.items()}
    new_values = values.map(replacements) if is_text else [replacements.get(value, value) for value in values]
    numeric = all(value is None or isinstance(value, float) for value in value_of.values())
    return pd.Series(new_values, index=values.index, dtype=float if numeric else object)


def _holds_compact_dates(values: pd.Series, column: str) -> bool:
    """Return whether a column of dates holds numbers such as 20191231, which are not in proportion to time."""
    if not (pd.api.types.is_numeric_dtype(values) and DATE_NAME.search(column)) or values.isna().all():
        return False
    numbers = values.dropna()
    low, high = (10_000 * year for year in YEARS_OF_BIRTH)
    return bool(
        numbers.between(low, high).all() and pd.to_datetime(numbers, format="%Y%m%d", errors="coerce").notna().all()
    )


def check_kinds(parts: Mapping[str, pd.DataFrame], columns: Sequence[str], faults: Faults) -> None:
    """Add a fault for each of ``columns`` with numbers in one of ``parts`` (role -> cases) and text in another."""
    for column in columns:
        columns_by_role = {
            role: part[column] for role, part in parts.items() if column in part and part[column].notna().any()
        }
        numeric = {role: pd.api.types.is_numeric_dtype(values) for role, values in columns_by_role.items()}
        if len(set(numeric.values())) > 1 and not faults:  # a refused value leaves its column as text
            kinds = ", ".join(f"{'numbers' if is_number else 'text'} in {role}" for role, is_number in numeric.items())
            faults.add(f"{column}: {kinds}; a column must hold either numbers or text in all tables")


def _apply(rule: Rule, texts: list[str]) -> tuple[dict[str, Value], dict[str, list[str]]]:
    """Return text -> value, and reason -> the invalid texts."""
    value_of: dict[str, Value] = {}
    invalid: dict[str, list[str]] = {}
    for text in texts:
        try:
            value_of[text] = rule(text)
        except ValueError as error:
            invalid.setdefault(str(error), []).append(text)
    return value_of, invalid


def _check_numbers(values: pd.Series, column: str, where: str, faults: Faults, notes: list[str]) -> pd.Series:
    """Return ``values``, where an age such as -1 is missing.

    ``faults`` collects infinite numbers, ages out of range and codes for the sex.
    """
    if rule_of_column(column, [], np.array([])) is read_age and (is_filler := values.isin(FILLERS)).any():
        texts = _list_texts([f"{value:g} as missing" for value in values[is_filler].unique()])
        notes.append(f"{where}: {column}: read {texts} in {list_names(values.index[is_filler])}")
        values = values.mask(is_filler)
    kind, numbers = rule_of_column(column, [], np.array([])), values.to_numpy(dtype=float)
    wrong, reason = np.isinf(numbers), "a finite number"
    if kind is read_age:
        wrong, reason = (numbers < 0) | (numbers > OLDEST), AGE
        if wrong.any() and all(map(is_year_of_birth, numbers[wrong])):
            reason = NO_BIRTH
    if kind is read_sex:
        wrong, reason = ~np.isnan(numbers), SEX
    if wrong.any():
        examples = _list_texts([f"{value:g}" for value in np.unique(numbers[wrong])])
        faults.add(f"{where}: {column} must be {reason}; found {examples} in {list_names(values.index[wrong])}")
    return values


def _note_repairs(value_of: Mapping[str, Value], texts: pd.Series, column: str, where: str, notes: list[str]) -> None:
    repairs = {text: value for text, value in value_of.items() if _is_worth_a_note(text, value)}
    if repairs:
        pairs = [
            f"{_quote(text)} as {'missing' if value is None else _quote(value)}" for text, value in repairs.items()
        ]
        examples = ", ".join(pairs[:MOST_SHOWN]) + (", ..." if len(pairs) > MOST_SHOWN else "")
        notes.append(f"{where}: {column}: read {examples} in {list_names(texts.index[texts.isin(list(repairs))])}")
    by_lower_case: dict[str, list[str]] = {}
    for value in {value for value in value_of.values() if isinstance(value, str)}:
        by_lower_case.setdefault(value.casefold(), []).append(value)
    twins = [sorted(words) for words in by_lower_case.values() if len(words) > 1]
    if twins:
        notes.append(f"{where}: {column}: values that differ only in case are kept apart: {list_names(sorted(twins))}")


def _sentence_on_dates(value_of: Mapping[str, Value], texts: pd.Series, column: str, where: str) -> str:
    days = [f"{_quote(text)} as {value:g}" for text, value in value_of.items() if isinstance(value, float)]
    count = int(texts.isin([text for text, value in value_of.items() if value is not None]).sum())
    return f"{where}: {column}: {number_of(count, 'date')} read as days since {START}: {_list_texts(days)}"


def _other_sexes(value_of: Mapping[str, Value], counts: pd.Series, column: str, where: str) -> list[str]:
    """Return a note on the values that are neither female nor male, if there are any."""
    others = {text: value for text, value in value_of.items() if value not in (None, "female", "male")}
    if not others:
        return []
    words = ", ".join(f"{_quote(value)} {counts[text]}" for text, value in list(others.items())[:MOST_SHOWN])
    more = ", ..." if len(others) > MOST_SHOWN else ""
    return [f"{where}: {column} is neither female nor male: {words}{more}; networks with metadata treat it as missing"]


def _changes_any(value_of: Mapping[str, Value]) -> bool:
    return any(value != text for text, value in value_of.items())


def _is_worth_a_note(text: str, value: Value) -> bool:
    """Return whether users should learn that ``text`` is read as ``value``; not for 45 read as 45.0."""
    if isinstance(value, float):
        return "," in text or not is_number(text)
    return value != text


def _quote(value: Value) -> str:
    if value is None:
        return "missing"
    is_long = isinstance(value, str) and len(value) > MAX_NAME_LENGTH
    return f"{str(value)[:MAX_NAME_LENGTH]!r}..." if is_long else repr(value)


def _list_texts(texts: Sequence[str]) -> str:
    return ", ".join(texts[:MOST_SHOWN]) + (", ..." if len(texts) > MOST_SHOWN else "")
