"""Find columns and pairs of columns that reveal the target, from shares of malignant cases in other folds."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.leaks.cells import Codes, Estimate, count_cells, with_interval
from features.leaks.column_variants import MISSING, VALUES, value_codes, variants
from runtime.progress import track

TARGET_AUC = 0.999  # columns with at least this AUC are the target under another name
# No single known attribute of a lesion comes near these: on the contest's table the best column has 0.70.
SUSPICIOUS_AUC = 0.85
SUSPICIOUS_FORM = 0.60  # of a missing value or of the form of a value, which says nothing of a lesion
BEYOND_ORDER = 0.10  # AUC of the ranges of a number above that of its order: a lesion's attributes rise or fall
BEYOND_VALUES = 0.05  # AUC of the form of a value above that of the value
BEYOND_SUM = 0.05  # AUC of two columns together above that of their sum
LEAST_CLASS = 10  # cases of each class from which an AUC means something
PAIR_RANGES = 12  # of each column of a pair
MANY_COLUMNS = 500  # from which on the comparison takes long enough to show how far it is
MOST_ROWS = 30_000  # for pairs; all malignant cases and as many benign ones as fit
MOST_PAIR_COLUMNS = 60
CHANCE = Estimate(0.5, 0.0, 1.0)


class ColumnLeak(NamedTuple):
    """The columns that reveal the target, what of them does, and their AUC."""

    columns: tuple[str, ...]
    what: str
    auc: Estimate

    @property
    def equals_target(self) -> bool:
        """Return whether the columns are the target under another name."""
        return self.auc.value >= TARGET_AUC

    def text(self) -> str:
        """Return the leak in words with its figure."""
        return f"{' and '.join(self.columns)}: {self.what}, {self.auc}"


class Cases(NamedTuple):
    """The training cases: whether each is ``malignant`` (n,), and its fold (n,) from 0."""

    malignant: NDArray[np.bool_]
    folds: Codes

    @property
    def is_enough(self) -> bool:
        """Return whether there are enough cases of each class, and folds to compare."""
        positives = int(self.malignant.sum())
        return min(positives, len(self.malignant) - positives) >= LEAST_CLASS and len(np.unique(self.folds)) > 1

    def part(self, rows: NDArray[np.intp]) -> "Cases":
        """Return the cases at ``rows``."""
        return Cases(self.malignant[rows], self.folds[rows])


def column_leaks(columns: Mapping[str, pd.Series], cases: Cases, pair_names: list[str]) -> list[ColumnLeak]:
    """Return the leaks of single ``columns``, each of n values, and of two columns of ``pair_names``, worst first.

    A column that leaks alone is not looked at in pairs: with it, every other column would look like a culprit.
    """
    if not cases.is_enough:
        return []
    items: Iterable[tuple[str, pd.Series]] = columns.items()
    if len(columns) >= MANY_COLUMNS:
        items = track(items, "comparing columns with the target", len(columns), "column")
    alone = [leak for name, column in items if (leak := _leak_of_column(name, column, cases)) is not None]
    names = {leak.columns[0] for leak in alone}
    others = {name: columns[name] for name in pair_names if name not in names}
    return sorted([*alone, *_leaks_of_pairs(others, cases)], key=lambda leak: -leak.auc.value)


def _leak_of_column(name: str, column: pd.Series, cases: Cases) -> ColumnLeak | None:
    """Return the strongest leak of one column; None if all its variants are usual."""
    estimates = {what: _auc_of(codes, cases) for what, codes in variants(column)}
    of_values, of_missing = estimates.pop(VALUES), estimates.pop(MISSING, CHANCE)
    order = _auc_of_order(column, cases)
    usual_form = max(SUSPICIOUS_FORM, of_values.value + BEYOND_VALUES)
    is_number = pd.api.types.is_numeric_dtype(column)
    candidates = [
        (MISSING, of_missing, SUSPICIOUS_FORM if of_missing.value > of_values.value - BEYOND_VALUES else 1.0),
        (VALUES, max(of_values, order), SUSPICIOUS_AUC),
        ("ranges of it, not its order", of_values, order.value + BEYOND_ORDER if is_number else 1.0),
        *((what, auc, usual_form) for what, auc in estimates.items()),
    ]
    leaks = [ColumnLeak((name,), what, auc) for what, auc, usual in candidates if auc.low > usual]
    return max(leaks, key=lambda leak: leak.auc.value, default=None)


def _auc_of(codes: Codes, cases: Cases) -> Estimate:
    counts = count_cells(codes, cases.malignant, cases.folds)
    return counts.auc(counts.log_odds())


def _auc_of_order(column: pd.Series, cases: Cases) -> Estimate:
    """Return the AUC of the order of a number, rising or falling, whichever is higher; 0.5 for a text."""
    if not pd.api.types.is_numeric_dtype(column):
        return CHANCE
    numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
    present = np.isfinite(numbers)
    malignant = cases.malignant[present]
    positives, negatives = int(malignant.sum()), int((~malignant).sum())
    if min(positives, negatives) < LEAST_CLASS:
        return CHANCE
    ranks = float(pd.Series(numbers[present]).rank().to_numpy()[malignant].sum())
    area = (ranks - positives * (positives + 1) / 2) / (positives * negatives)
    return with_interval(max(area, 1 - area), np.array([float(positives)]), np.array([float(negatives)]))


def _leaks_of_pairs(columns: Mapping[str, pd.Series], cases: Cases) -> Iterator[ColumnLeak]:
    rows = _sample(cases)
    part = cases.part(rows)
    codes = {name: value_codes(columns[name].iloc[rows], PAIR_RANGES) for name in list(columns)[:MOST_PAIR_COLUMNS]}
    single = {name: count_cells(each, part.malignant, part.folds).log_odds() for name, each in codes.items()}
    for first, second in combinations(codes, 2):
        leak = _leak_of_pair(first, second, codes, single, part)
        numbers = [columns[name].iloc[rows] for name in (first, second)]
        yield from [leak] if leak is not None else _leak_of_difference((first, second), numbers, part)


def _leak_of_pair(
    first: str, second: str, codes: Mapping[str, Codes], single: Mapping[str, NDArray[np.float64]], cases: Cases
) -> ColumnLeak | None:
    """Return the leak of two columns that say more together than the sum of their log odds does."""
    width = int(codes[second].max()) + 1
    counts = count_cells(codes[first] * width + codes[second], cases.malignant, cases.folds)
    cells = np.arange(len(counts.cases))
    added_up = counts.auc(single[first][cells // width] + single[second][cells % width]).value
    together = counts.auc(counts.log_odds())
    is_leak = together.low > max(added_up + BEYOND_SUM, SUSPICIOUS_FORM)
    return ColumnLeak((first, second), f"both together (added up {added_up:.4f})", together) if is_leak else None


def _leak_of_difference(names: tuple[str, str], columns: list[pd.Series], cases: Cases) -> Iterator[ColumnLeak]:
    """Yield a leak of the difference of two numbers: fine ranges of it, which a table of both cannot resolve."""
    if not all(pd.api.types.is_numeric_dtype(column) for column in columns):
        return
    first, second = columns
    singles = [_auc_of_order(column, cases).value for column in columns]
    usual = max(SUSPICIOUS_FORM, *(value + 2 * BEYOND_SUM for value in singles))
    auc = _auc_of(value_codes(first - second), cases)
    if auc.low > usual and auc.low > SUSPICIOUS_AUC:
        yield ColumnLeak(names, "their difference", auc)


def _sample(cases: Cases) -> NDArray[np.intp]:
    """Return the rows of all malignant cases and of as many benign ones, drawn at random, as MOST_ROWS allows."""
    positives, negatives = np.flatnonzero(cases.malignant), np.flatnonzero(~cases.malignant)
    room = max(MOST_ROWS - len(positives), MOST_ROWS // 2)
    sample = np.random.default_rng(0).permutation(negatives)[:room]
    return np.sort(np.concatenate([positives, sample]))
