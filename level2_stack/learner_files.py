"""JSON files of fitted learners, with the names of their columns; reading one executes nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from runtime.errors import InputFault
from runtime.files import read_json, write_json

FACTS = "learner.json"
MAX_NUMBER = 1e300  # the limit on numbers in a file


def write_facts(folder: Path, learner: str, **facts: object) -> None:
    """Write the JSON values ``facts`` of a fitted ``learner`` into its ``folder``; call it after all other files."""
    write_json(folder / FACTS, {"learner": learner, **facts})


def read_facts(folder: Path, learner: str, *keys: str) -> dict[str, Any]:
    """Return what ``write_facts`` wrote; raise InputFault for a missing file or key, or the file of another learner."""
    path = folder / FACTS
    if not path.is_file():
        raise InputFault(f"{path}: no such file; it should describe the learner {learner}")
    facts: dict[str, Any] = read_json(path)
    if not _is_finite(facts):
        raise InputFault(f"{path}: has a number that is not finite; the file is damaged")
    name = facts.get("learner") if isinstance(facts, dict) else None
    if name != learner:
        raise InputFault(f"{path}: holds the learner {name!r}; expected {learner!r}")
    missing_keys = [key for key in keys if key not in facts]
    if missing_keys:
        raise InputFault(f"{path}: the key(s) {', '.join(missing_keys)} are missing; the file is damaged")
    if "columns" in facts and not _are_columns(facts["columns"]):
        raise InputFault(f"{path}: columns are not different names with their categories; the file is damaged")
    return facts


def columns_to_json(columns: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the names and, for text, the categories of ``columns``, as JSON values."""
    return [{"name": str(name), "categories": _categories(column)} for name, column in columns.items()]


def columns_from_json(columns: list[dict[str, Any]]) -> pd.DataFrame:
    """Return a table without rows whose columns have the names and categories that ``columns_to_json`` returned."""
    return pd.DataFrame({column["name"]: _column(column["categories"]) for column in columns})


def category_counts(columns: pd.DataFrame) -> list[int | None]:
    """Return the number of categories of every column, None for a number."""
    lists = (_categories(column) for _, column in columns.items())
    return [None if categories is None else len(categories) for categories in lists]


def _is_finite(value: object) -> bool:
    """Return whether no number in a JSON ``value`` is infinite, not a number, or too large for a float."""
    if isinstance(value, dict | list):
        return all(map(_is_finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, int | float) or (abs(value) < MAX_NUMBER)


def _are_columns(columns: object) -> bool:
    """Return whether a JSON value is a list of columns: names, or names with their categories; each name once."""
    if not isinstance(columns, list) or not columns:
        return False
    names = [column["name"] if _is_column(column) else column for column in columns]
    return all(isinstance(name, str) for name in names) and len(set(names)) == len(names)


def _is_column(column: object) -> bool:
    if not isinstance(column, dict) or column.keys() != {"name", "categories"}:
        return False
    categories = column["categories"]
    is_text = isinstance(categories, list) and all(isinstance(each, str) for each in categories)
    return categories is None or (is_text and len(set(categories)) == len(categories))


def _categories(column: pd.Series) -> list[str] | None:
    return list(map(str, column.cat.categories)) if isinstance(column.dtype, pd.CategoricalDtype) else None


def _column(categories: list[str] | None) -> pd.Series:
    if categories is None:
        return pd.Series(dtype=np.float64)
    return pd.Series(pd.Categorical([], categories=categories))
