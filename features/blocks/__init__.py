"""Feature blocks, one module each, found by name: the data they may use, and the checks of the features they return."""

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from typing import Literal, Protocol, cast

import numpy as np
import pandas as pd
from pandas.api import types

from runtime.errors import InputFault, did_you_mean, list_names

Need = Literal["statistics", "embeddings"]
LABELS = ("target", "fold", "diagnosis", "benign_malignant", "role")


@dataclass(frozen=True)
class Sources:
    """The data that a block may read in addition to the case table.

    ``statistics``: the table of picture statistics (index image_name), None without pictures.
    ``embeddings``: level-one model -> function that reads its table of embeddings, so that only blocks that need the
    table read it.
    """

    statistics: pd.DataFrame | None = None
    embeddings: Mapping[str, Callable[[], pd.DataFrame]] = field(default_factory=dict)


class Block(Protocol):
    """The names that every module of this package defines.

    ``ACQUISITION``: the block's columns that describe how a picture was taken, not what the picture shows.
    ``NEEDS``: the sources that the block requires.
    """

    ACQUISITION: tuple[str, ...]
    NEEDS: tuple[Need, ...]

    def build(self, cases: pd.DataFrame, sources: Sources) -> pd.DataFrame:
        """Return one row of features per row of ``cases``, which have no LABELS and are sorted by name."""


def names() -> list[str]:
    """Return the names of all blocks, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


@lru_cache
def find(name: str) -> Block:
    """Return the block ``name``; for an unknown name raise InputFault that suggests the most similar one."""
    if name not in names():
        raise InputFault(f"unknown feature block {name!r}; {did_you_mean(name, names())}")
    return cast(Block, import_module(f"{__name__}.{name}"))


def missing_needs(name: str, sources: Sources) -> tuple[Need, ...]:
    """Return the sources that block ``name`` requires and ``sources`` lacks; empty if the block can be built."""
    available: dict[Need, bool] = {"statistics": sources.statistics is not None, "embeddings": bool(sources.embeddings)}
    return tuple(need for need in find(name).NEEDS if not available[need])


def without_labels(cases: pd.DataFrame) -> pd.DataFrame:
    """Return ``cases`` without LABELS, which must not enter a feature: the target, the diagnosis, fold and role."""
    return cases.drop(columns=list(LABELS), errors="ignore")


def build_block(name: str, cases: pd.DataFrame, sources: Sources) -> pd.DataFrame:
    """Return the features of block ``name``, one row per row of ``cases`` in the same order.

    Rows are sorted first, so that no sum depends on their order. Raises InputFault if a required source is missing,
    and ValueError if the block's result does not follow the rules for a block.
    """
    missing = missing_needs(name, sources)
    if missing:
        raise InputFault(f"feature block {name!r} needs {' and '.join(missing)}, which this run does not have")
    rows = without_labels(cases).sort_index()
    frame = find(name).build(rows, sources)
    _check(name, frame, rows.index)
    return frame.loc[cases.index]


def _check(name: str, frame: pd.DataFrame, index: pd.Index) -> None:
    if not frame.index.equals(index):
        raise ValueError(f"feature block {name!r}: the rows must be the given cases in the same order")
    if not frame.columns.is_unique:
        raise ValueError(
            f"feature block {name!r}: repeated columns: {list_names(frame.columns[frame.columns.duplicated()])}"
        )
    wrong_types = [column for column in frame if not _is_feature(frame[column])]
    if wrong_types:
        raise ValueError(
            f"feature block {name!r}: columns must be numbers, strings or categories, not so {list_names(wrong_types)}"
        )
    numbers = frame.select_dtypes("number")
    infinite = numbers.columns[np.isinf(numbers.to_numpy(np.float64)).any(axis=0)]
    if len(infinite):
        raise ValueError(f"feature block {name!r}: values must be finite; infinite ones are in {list_names(infinite)}")


def _is_feature(values: pd.Series) -> bool:
    if types.is_numeric_dtype(values) or isinstance(values.dtype, pd.CategoricalDtype):
        return True
    return all(isinstance(value, str) for value in values.dropna())
