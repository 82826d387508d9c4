"""Any table of scores and features, checked and converted to the columns of a design."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api import types
from scipy.special import logit
from sklearn.utils import check_array

from level2_stack import learners
from level2_stack.contrasts import NETWORKS, contrasts
from level2_stack.design.assemble import CLIP, safe_name
from level2_stack.foreign.checks import ROUNDING
from level2_stack.recipe import BLEND, CHOICE
from runtime.errors import Faults, list_names

Groups = NDArray[np.object_]
Scale = Literal["probability", "logit"]
SCALES = ("probability", "logit")


@dataclass(frozen=True)
class Columns:
    """The role of every column of a table, as the training rows determine it; later rows are read the same way.

    ``scores`` are networks' scores, ``group`` is the column of patients, ``numbers`` and ``categories`` are features. A
    text column without a value in any training row is ignored. ``scale`` is the scale of the scores; ``has_contrasts``
    whether the design has the scores' contrasts within the group.
    """

    scores: tuple[str, ...]
    group: str | None
    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    scale: Scale
    has_contrasts: bool

    def design(self, table: pd.DataFrame, groups: Groups) -> pd.DataFrame:
        """Return ``table`` (n x its columns) as columns ``<family>.<name>``; ``groups`` (n,) come from ``read_groups``.

        A row depends only on the rows of its group, not on their order. Raises ValueError for infinite numbers, text in
        a column of numbers, and probabilities outside [0, 1].
        """
        logits = self._logits(table)
        features = self._numbers(table, self.numbers).join(
            pd.DataFrame({name: _categories(table[name]) for name in self.categories}, index=table.index)
        )
        parts = [logits.add_prefix("logit."), features.rename(columns=safe_name).add_prefix("table.")]
        return pd.concat([*parts, _contrasts(logits, groups)] if self.has_contrasts else parts, axis=1)

    @property
    def roles(self) -> tuple[str, ...]:
        """The scores and the group: all columns that are not features."""
        return self.scores if self.group is None else (*self.scores, self.group)

    def score_tables(self, table: pd.DataFrame) -> dict[str, pd.DataFrame]:
        """Return the scores as a leaderboard reads them: name -> a table with one column, probability.

        The leaderboard uses only their order, so logits are not converted.
        """
        scores = self._numbers(table, self.scores)
        return {safe_name(name): scores[[name]].set_axis(["probability"], axis=1) for name in self.scores}

    def _logits(self, table: pd.DataFrame) -> pd.DataFrame:
        scores = self._numbers(table, self.scores)
        # The logit clips what rounding to float32 puts outside [0, 1].
        outside = [name for name in self.scores if not scores[name].dropna().between(-ROUNDING, 1 + ROUNDING).all()]
        if self.scale == "probability" and outside:
            raise ValueError(
                f"scores: columns with values outside [0, 1]: {list_names(outside)}; scores must be probabilities; "
                "if all of them are logits, set score_scale='logit'"
            )
        logits = scores.clip(CLIP, 1 - CLIP).apply(logit) if self.scale == "probability" else scores
        return logits.rename(columns=safe_name)

    def _numbers(self, table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
        if not names:
            return pd.DataFrame(index=table.index)
        values = check_array(table[list(names)], dtype=np.float64, ensure_all_finite="allow-nan", input_name="X")
        return pd.DataFrame(values, index=table.index, columns=list(names))


def classify_columns(
    table: pd.DataFrame, scores: Iterable[str | int], group: str | int | None, scale: Scale, *, has_contrasts: bool
) -> Columns:
    """Return the role of every column of the training rows ``table``; ``scores`` and ``group`` are names or positions.

    Raises ValueError for columns that ``table`` does not have, and for all columns that cannot be used.
    """
    names = [str(name) for name in table.columns]
    _check_parameters(scores, scale)
    score_names = [_column_name(names, "scores", column) for column in scores]
    group_name = None if group is None else _column_name(names, "group_column", group)
    rest = [name for name in names if name not in (*score_names, group_name)]
    _check_table(table, score_names, group_name)
    numbers = tuple(name for name in rest if types.is_numeric_dtype(table[name].infer_objects()))
    categories = tuple(name for name in rest if name not in numbers and table[name].notna().any())
    return Columns(tuple(score_names), group_name, numbers, categories, scale, has_contrasts and bool(score_names))


def _column_name(names: list[str], parameter: str, column: str | int) -> str:
    if isinstance(column, str) and column in names:
        return column
    if not isinstance(column, str) and 0 <= int(column) < len(names):
        return names[int(column)]
    raise ValueError(f"{parameter}: X has no column {column!r}; it has {list_names(names)}")


def _check_parameters(scores: Iterable[str | int], scale: str) -> None:
    if isinstance(scores, str):
        raise ValueError(f"scores = {scores!r}: must be a list of columns: [{scores!r}]")
    if scale not in SCALES:
        raise ValueError(f"score_scale = {scale!r}: must be one of {', '.join(SCALES)}")


def _check_table(table: pd.DataFrame, scores: list[str], group: str | None) -> None:
    faults = Faults()
    reserved_names = {NETWORKS, BLEND, CHOICE, *learners.names()}
    for name in dict.fromkeys(scores):
        if scores.count(name) > 1 or name == group:
            faults.add(f"column {name!r} is named twice in scores and group_column")
        if name in reserved_names:
            faults.add(f"score {name!r}: level two uses this name for something else; rename the column")
        if table[name].isna().all():
            faults.add(f"score {name!r} has no values; remove the column from scores")
    safe_names = pd.Index([safe_name(str(name)) for name in table.columns])
    if not safe_names.is_unique:
        duplicates = list_names(safe_names[safe_names.duplicated()])
        faults.add(f"columns whose names differ only in brackets, quotes or spaces: {duplicates}; rename them")
    dates = [str(name) for name, column in table.items() if column.dtype.kind in "mM"]
    if dates:
        faults.add(f"columns of dates or durations: {list_names(dates)}; convert them to numbers, such as days")
    faults.raise_if_any("X")


def _categories(column: pd.Series) -> pd.Series:
    """Return ``column`` with all values as text, so that later rows have the same categories."""
    return column.astype(object).map(str, na_action="ignore").astype("category")


def _contrasts(logits: pd.DataFrame, groups: Groups) -> pd.DataFrame:
    """Return the contrasts of ``logits``, bitwise the same in any order of the rows."""
    # Sums of floats depend on their order. Rows of an array have no names, so they are sorted by their values.
    order = np.lexsort(logits.to_numpy().T)
    rows = logits.iloc[order].reset_index(drop=True)
    table = contrasts(rows, pd.Series(groups[order], index=rows.index))
    return table.set_axis(logits.index[order], axis=0).loc[logits.index]
