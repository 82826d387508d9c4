"""JSON files of fitted learners, with the names of their columns; reading one executes nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from runtime.errors import InputFault
from runtime.files import read_json, write_json

FACTS = "learner.json"


def write_facts(folder: Path, learner: str, **facts: object) -> None:
    """Write the JSON values ``facts`` of a fitted ``learner`` into its ``folder``; call it after all other files."""
    write_json(folder / FACTS, {"learner": learner, **facts})


def read_facts(folder: Path, learner: str, *keys: str) -> dict[str, Any]:
    """Return what ``write_facts`` wrote; raise InputFault for a missing file or key, or the file of another learner."""
    path = folder / FACTS
    if not path.is_file():
        raise InputFault(f"{path}: no such file; it should describe the learner {learner}")
    facts: dict[str, Any] = read_json(path)
    name = facts.get("learner") if isinstance(facts, dict) else None
    if name != learner:
        raise InputFault(f"{path}: holds the learner {name!r}; expected {learner!r}")
    missing_keys = [key for key in keys if key not in facts]
    if missing_keys:
        raise InputFault(f"{path}: the key(s) {', '.join(missing_keys)} are missing; the file is damaged")
    return facts


def columns_to_json(columns: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the names and, for text, the categories of ``columns``, as JSON values."""
    return [{"name": str(name), "categories": _categories(column)} for name, column in columns.items()]


def columns_from_json(columns: list[dict[str, Any]]) -> pd.DataFrame:
    """Return a table without rows whose columns have the names and categories that ``columns_to_json`` returned."""
    return pd.DataFrame({column["name"]: _column(column["categories"]) for column in columns})


def _categories(column: pd.Series) -> list[str] | None:
    return list(map(str, column.cat.categories)) if isinstance(column.dtype, pd.CategoricalDtype) else None


def _column(categories: list[str] | None) -> pd.Series:
    if categories is None:
        return pd.Series(dtype=np.float64)
    return pd.Series(pd.Categorical([], categories=categories))
