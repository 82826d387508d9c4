"""What learners are kept in: JSON with the names of their columns; nothing of it is executed when read."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from runtime.errors import InputFault
from runtime.files import read_json, write_json

FACTS = "learner.json"


def write_facts(folder: Path, learner: str, **facts: object) -> None:
    """Write what a fitted ``learner`` consists of, as JSON values, into its ``folder``, last of its files."""
    write_json(folder / FACTS, {"learner": learner, **facts})


def read_facts(folder: Path, learner: str, *needed: str) -> dict[str, Any]:
    """Return what ``write_facts`` wrote; raise InputFault when it is not there, another learner's, or lacks a key."""
    path = folder / FACTS
    if not path.is_file():
        raise InputFault(f"{path}: no such file; the learner {learner} was expected")
    facts: dict[str, Any] = read_json(path)
    found = facts.get("learner") if isinstance(facts, dict) else None
    if found != learner:
        raise InputFault(f"{path}: holds the learner {found!r}, not {learner!r}")
    lacking = [name for name in needed if name not in facts]
    if lacking:
        raise InputFault(f"{path}: lacks {', '.join(lacking)}")
    return facts


def columns_to_json(seen: pd.DataFrame) -> list[dict[str, Any]]:
    """Return names and, of text, categories of the columns of ``seen``, as JSON values."""
    return [{"name": str(name), "categories": _categories(column)} for name, column in seen.items()]


def columns_from_json(told: list[dict[str, Any]]) -> pd.DataFrame:
    """Return a table without rows whose columns have the names and categories that ``columns_to_json`` returned."""
    return pd.DataFrame({column["name"]: _column(column["categories"]) for column in told})


def _categories(column: pd.Series) -> list[str] | None:
    return list(map(str, column.cat.categories)) if isinstance(column.dtype, pd.CategoricalDtype) else None


def _column(categories: list[str] | None) -> pd.Series:
    if categories is None:
        return pd.Series(dtype=np.float64)
    return pd.Series(pd.Categorical([], categories=categories))
