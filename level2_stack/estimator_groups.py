"""Read the groups of the estimator: the patient of every row, by the rule of identity of the case tables."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from features.cases.patient_groups import large_shares, list_twins
from features.cases.patients import fillers, patient_keys
from level2_stack.design.tabular import Groups
from runtime.errors import list_names
from runtime.plural import number_of


def read_groups(table: pd.DataFrame, groups: ArrayLike | None, column: str | None) -> Groups:
    """Return the group of every row of ``table``: ``groups`` (n,), or ``table[column]``, or else a group per row.

    Spellings of one id (``patient_keys``) are one group; a row without a group, or with a filler such as 0 among words,
    is a group of its own. Warns of both, of ids that may be one group, and of groups with many rows. Raises ValueError
    if both are given, and if there are not n groups.
    """
    if groups is not None and column is not None:
        raise ValueError(f"groups are given twice: as an argument and as column {column!r} of X; use only one of them")
    rows = np.array([f"row {row}" for row in range(len(table))], dtype=object)
    if groups is None and column is None:
        return rows
    values = _to_vector(table[column] if column is not None else groups)
    if len(values) != len(table):
        raise ValueError(f"groups: found {len(values)} groups for {len(table)} rows of X; every row needs one")
    keys = patient_keys(values)
    is_missing = pd.isna(keys) | np.isin(keys, fillers(keys))
    sentences = _sentences(values[~is_missing], keys, is_missing)
    if sentences:
        warnings.warn("groups: " + "; ".join(sentences), stacklevel=3)
    return np.where(is_missing, rows, keys)


def _sentences(values: NDArray[Any], keys: Groups, is_missing: NDArray[np.bool_]) -> list[str]:
    """Return what a user should know of the groups; ``values`` are the ids of the rows that have one."""
    sentences, present = list[str](), pd.Series(keys[~is_missing], dtype=object)
    if is_missing.any():
        rows = list_names(np.flatnonzero(is_missing))
        sentences.append(f"missing in rows {rows}: each of them is a group of its own")
    other_spellings = len(pd.unique(values)) - present.nunique()
    if other_spellings > 0:
        ids = number_of(other_spellings, "id")
        sentences.append(f"{ids} with another spelling of a group's name (1 and 1.0, p1 and P1) count as that group")
    if twins := list_twins(pd.unique(present)):
        rule = "ids that differ only in leading zeros or punctuation are different groups"
        sentences.append(f"{rule}: {twins}; if they are one, use one spelling")
    shares = [f"{str(who)!r} holds {share:.0%} of the rows" for who, share in large_shares(present).items()]
    if shares:
        sentences.append(f"{', '.join(shares)}; check that it is the id of a person")
    return sentences


def _to_vector(groups: Any) -> NDArray[Any]:  # noqa: ANN401
    values = np.asarray(groups, dtype=object)  # 1 and 'a' keep their types
    if values.ndim == 2 and values.shape[1] == 1:  # a table of one column
        return values[:, 0]
    if values.ndim == 0:
        raise ValueError(f"groups = {groups!r}: must have a group per row; a column of X is named in group_column")
    if values.ndim != 1:
        raise ValueError(f"groups: found shape {values.shape}; must have one dimension, with a group per row")
    return values
