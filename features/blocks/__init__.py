"""Feature blocks: one module per block, found by its name; what they may see, and the check of what they return."""

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
    """What a block may read beside the case table.

    ``statistics``: the table of picture statistics (index image_name), None where there are no pictures.
    ``embeddings``: for every level-one model what reads its embeddings table; only blocks that need it do.
    """

    statistics: pd.DataFrame | None = None
    embeddings: Mapping[str, Callable[[], pd.DataFrame]] = field(default_factory=dict)


class Block(Protocol):
    """What every module of this package offers.

    ``ACQUISITION``: the names of its columns that tell how the picture was taken, not what is on it.
    ``NEEDS``: the sources without which it cannot be built.
    """

    ACQUISITION: tuple[str, ...]
    NEEDS: tuple[Need, ...]

    def build(self, cases: pd.DataFrame, sources: Sources) -> pd.DataFrame:
        """Return one row of features per row of ``cases``, which come without LABELS and sorted by name."""


def names() -> list[str]:
    """Return the names of all blocks, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(name: str) -> Block:
    """Return the block called ``name``; raise InputFault with the nearest known name when there is none."""
    if name not in names():
        raise InputFault(f"unknown feature block {name!r}; {did_you_mean(name, names())}")
    return cast(Block, import_module(f"{__name__}.{name}"))


def missing_needs(name: str, sources: Sources) -> tuple[Need, ...]:
    """Return what block ``name`` cannot do without and ``sources`` does not have; empty when it can be built."""
    has: dict[Need, bool] = {"statistics": sources.statistics is not None, "embeddings": bool(sources.embeddings)}
    return tuple(need for need in find(name).NEEDS if not has[need])


def visible(cases: pd.DataFrame) -> pd.DataFrame:
    """Return ``cases`` without the columns that a feature must not know: the truth, the fold, train or test."""
    return cases.drop(columns=list(LABELS), errors="ignore")


def build_block(name: str, cases: pd.DataFrame, sources: Sources) -> pd.DataFrame:
    """Return the features of block ``name``, one row per row of ``cases`` in the same order.

    Rows are sorted before the block sees them, so that no sum depends on their order. Raises InputFault when the
    block needs a source that is missing, ValueError when the block itself returns another shape than agreed.
    """
    missing = missing_needs(name, sources)
    if missing:
        raise InputFault(f"feature block {name!r} needs {' and '.join(missing)}, of which this run has none")
    ordered = visible(cases).sort_index()
    frame = find(name).build(ordered, sources)
    _check(name, frame, ordered.index)
    return frame.loc[cases.index]


def _check(name: str, frame: pd.DataFrame, index: pd.Index) -> None:
    if not frame.index.equals(index):
        raise ValueError(f"feature block {name!r}: the rows are not the cases it was given, in their order")
    if not frame.columns.is_unique:
        raise ValueError(
            f"feature block {name!r}: columns twice: {list_names(frame.columns[frame.columns.duplicated()])}"
        )
    odd = [column for column in frame if not _is_feature(frame[column])]
    if odd:
        raise ValueError(f"feature block {name!r}: neither numbers, strings nor categories: {list_names(odd)}")
    numbers = frame.select_dtypes("number")
    infinite = numbers.columns[np.isinf(numbers.to_numpy(np.float64)).any(axis=0)]
    if len(infinite):
        raise ValueError(f"feature block {name!r}: infinite values in {list_names(infinite)}")


def _is_feature(values: pd.Series) -> bool:
    if types.is_numeric_dtype(values) or isinstance(values.dtype, pd.CategoricalDtype):
        return True
    return all(isinstance(value, str) for value in values.dropna())
