"""Any table of scores and features, checked and turned into the columns of a design."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pandas.api import types
from scipy.special import logit
from sklearn.utils import check_array

from level2_stack import learners
from level2_stack.contrasts import NETWORKS, contrasts
from level2_stack.design.assemble import CLIP, safe_name
from level2_stack.recipe import BLEND, CHOICE
from runtime.errors import Faults, list_names

Groups = NDArray[np.object_]
Scale = Literal["probability", "logit"]
SCALES = ("probability", "logit")


@dataclass(frozen=True)
class Columns:
    """What every column of a table is, as the training rows show it: later rows are read the same way.

    ``scores`` are a network's, ``group`` names the patient, ``numbers`` and ``categories`` are features; text without
    a value in any training row says nothing and is neither. ``scale`` says what scores are; ``has_contrasts`` whether
    the design has their contrasts within the group.
    """

    scores: tuple[str, ...]
    group: str | None
    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    scale: Scale
    has_contrasts: bool

    def design(self, table: pd.DataFrame, groups: Groups) -> pd.DataFrame:
        """Return ``table`` (n x its columns) as columns ``<family>.<name>``; ``groups`` (n,) are as of ``read_groups``.

        A row depends on the rows of its group alone, whatever their order. Raises ValueError for infinite numbers,
        numbers that are not, and probabilities outside [0, 1].
        """
        logits = self._logits(table)
        features = self._numbers(table, self.numbers).join(
            pd.DataFrame({name: _categories(table[name]) for name in self.categories}, index=table.index)
        )
        parts = [logits.add_prefix("logit."), features.rename(columns=safe_name).add_prefix("table.")]
        return pd.concat([*parts, _contrasts(logits, groups)] if self.has_contrasts else parts, axis=1)

    def score_tables(self, table: pd.DataFrame) -> dict[str, pd.DataFrame]:
        """Return the scores as a leaderboard wants them: by name a table of one column, of which the order counts."""
        scores = self._numbers(table, self.scores)
        return {safe_name(name): scores[[name]].set_axis(["probability"], axis=1) for name in self.scores}

    def _logits(self, table: pd.DataFrame) -> pd.DataFrame:
        scores = self._numbers(table, self.scores)
        outside = [name for name in self.scores if not scores[name].dropna().between(0, 1).all()]
        if self.scale == "probability" and outside:
            raise ValueError(
                f"scores: columns with values outside [0, 1]: {list_names(outside)}; they must be probabilities, "
                "or all be logits, with score_scale='logit'"
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
    """Return what the columns of training rows ``table`` are; ``scores`` and ``group`` are names or positions.

    Raises ValueError that tells every column that is asked for and not there, or cannot be used.
    """
    names = [str(name) for name in table.columns]
    _refuse_parameters(scores, scale)
    wanted, key = [_named(names, "scores", one) for one in scores], None
    if group is not None:
        key = _named(names, "group_column", group)
    rest = [name for name in names if name not in (*wanted, key)]
    _refuse_faulty(table, wanted, key)
    numbers = tuple(name for name in rest if types.is_numeric_dtype(table[name].infer_objects()))
    categories = tuple(name for name in rest if name not in numbers and table[name].notna().any())
    return Columns(tuple(wanted), key, numbers, categories, scale, has_contrasts and bool(wanted))


def read_groups(table: pd.DataFrame, groups: ArrayLike | None, column: str | None) -> Groups:
    """Return one group per row of ``table``: ``groups`` (n,), or ``table[column]``; without both every row is its own.

    Raises ValueError when both are given, for another number of groups, and for rows without a group.
    """
    if groups is not None and column is not None:
        raise ValueError(f"groups are given twice: as an argument and as column {column!r} of X")
    if groups is None and column is None:
        return np.arange(len(table)).astype(str).astype(object)
    given = pd.Series(table[column] if column is not None else _one_dimension(groups))
    if len(given) != len(table):
        raise ValueError(f"groups: {len(given)} of them, and X has {len(table)} rows")
    if given.isna().any():
        raise ValueError(f"groups: rows without one: {list_names(np.flatnonzero(given.isna()))}")
    return given.astype(str).to_numpy(dtype=object)


def _one_dimension(groups: Any) -> NDArray[Any]:  # noqa: ANN401
    values = np.asarray(groups)
    if values.ndim != 1:
        raise ValueError(f"groups: shape {values.shape}; one dimension is needed, a group per row")
    return values


def _named(names: list[str], parameter: str, wanted: str | int) -> str:
    if isinstance(wanted, str) and wanted in names:
        return wanted
    if not isinstance(wanted, str) and 0 <= int(wanted) < len(names):
        return names[int(wanted)]
    raise ValueError(f"{parameter}: X has no column {wanted!r}; it has {list_names(names)}")


def _refuse_parameters(scores: Iterable[str | int], scale: str) -> None:
    if isinstance(scores, str):
        raise ValueError(f"scores = {scores!r}: a list of columns is needed, [{scores!r}]")
    if scale not in SCALES:
        raise ValueError(f"score_scale = {scale!r}: must be one of {', '.join(SCALES)}")


def _refuse_faulty(table: pd.DataFrame, scores: list[str], group: str | None) -> None:
    faults = Faults()
    taken = {NETWORKS, BLEND, CHOICE, *learners.names()}
    for name in dict.fromkeys(scores):
        if scores.count(name) > 1 or name == group:
            faults.add(f"column {name!r} is named twice in scores and group_column")
        if name in taken:
            faults.add(f"a score called {name!r} would be mistaken for level two's own; rename the column")
        if table[name].isna().all():
            faults.add(f"score {name!r} has no value")
    written = pd.Index([safe_name(str(name)) for name in table.columns])
    if not written.is_unique:
        faults.add(
            f"columns that differ in brackets, quotes or spaces only: {list_names(written[written.duplicated()])}"
        )
    dates = [str(name) for name, column in table.items() if column.dtype.kind in "mM"]
    if dates:
        faults.add(f"columns of dates or durations: {list_names(dates)}; give numbers, such as days")
    faults.raise_if_any("X")


def _categories(column: pd.Series) -> pd.Series:
    """Return ``column`` with text for its values, of whatever kinds: later rows meet the same ones."""
    return column.astype(object).map(str, na_action="ignore").astype("category")


def _contrasts(logits: pd.DataFrame, groups: Groups) -> pd.DataFrame:
    """Return the contrasts of ``logits``, to the last bit the same in any order of the rows."""
    # Sums of floats depend on their order: it is taken from the values, for rows of an array have no names.
    order = np.lexsort(logits.to_numpy().T)
    ordered = logits.iloc[order].reset_index(drop=True)
    found = contrasts(ordered, pd.Series(groups[order], index=ordered.index))
    return found.set_axis(logits.index[order], axis=0).loc[logits.index]
