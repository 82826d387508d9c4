"""Columns that follow the target of the training cases, and columns of ids: both are left out of the features by name.

The target decides only which names are left out; no value of a feature is computed from it.
"""

from itertools import product
from math import exp, lgamma

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api import types

Flags = NDArray[np.bool_]

MOST_ROWS = 5_000  # of each class, evenly spaced: enough for every rule here, and quick for tables of any size
AGREEMENT = 0.95  # mean share of both classes that one rule gets right; no single honest attribute comes near it
VALUE_SHARE = 0.05  # share of a class that has a value, where the other class has (almost) none
GAP_SHARE = 0.5  # share of a class without a value, where the other class (almost) always has one
TIMES = 50  # so many times as often in one class as in the other is "almost only in it"
CHANCE = 1e-5  # a column that behaves so by chance with at least this probability stays
SUMS = 0.99  # share of rows in which the columns of classes and the target add up to 1
FEW_VALUES = 20  # a column of numbers with at most so many different values may be one of codes
ID_ROWS = 20  # columns of ids need at least so many rows
ID_SHARE, ROW_NUMBERS = 0.5, 1.1  # different values per row of a text; range of whole numbers per row
TRUE_WORDS, FALSE_WORDS = ("1", "1.0", "true", "yes", "x"), ("0", "0.0", "false", "no")


def target_columns(columns: pd.DataFrame, target: pd.Series, patients: pd.Series) -> dict[str, str]:
    """Return name -> reason for each of the training cases' ``columns`` that follows ``target`` (0/1 or missing).

    A rule is judged by the rows of other patients. Without both classes no column has a reason.
    """
    rows = _sample(target.to_numpy(dtype=float))
    malignant = target.to_numpy(dtype=float)[rows] == 1
    if malignant.all() or not malignant.any():
        return {}
    table = columns.iloc[rows]
    groups = patients.iloc[rows]
    codes = pd.factorize(np.where(groups.isna(), groups.index, groups))[0]  # without a patient: one of its own
    reasons = {str(name): _reason(values, malignant, codes) for name, values in table.items()}
    classes = dict.fromkeys(_class_columns(table, malignant), "which with the target have a single 1 in each row")
    return classes | {name: reason for name, reason in reasons.items() if reason and name not in classes}


def id_columns(columns: pd.DataFrame, patients: pd.Series) -> dict[str, str]:
    """Return name -> reason for each of ``columns`` that holds ids, free text or row numbers."""
    reasons = {str(name): _id_reason(values) or _part_of_patient(values, patients) for name, values in columns.items()}
    return {name: reason for name, reason in reasons.items() if reason}


def _part_of_patient(values: pd.Series, patients: pd.Series) -> str:
    """Return that each value of a column of texts has one patient, as ids of patients, lesions and visits do."""
    if types.is_numeric_dtype(values):
        return ""
    pairs = pd.DataFrame({"value": _few_of(values), "patient": _few_of(patients)}).dropna()
    people = pairs.groupby("value")["patient"].nunique()
    repeats = len(pairs) - len(people)  # of a value, which by chance would be those of another patient
    is_id = repeats >= ID_ROWS and people.eq(1).all() and pairs["patient"].nunique() > ID_ROWS
    return "each value has one patient" if is_id else ""


def constant_columns(columns: pd.DataFrame) -> list[str]:
    """Return the columns of text that have the same value in all rows, where there are enough rows to say so."""
    if len(columns) < ID_ROWS:
        return []
    texts = [name for name in columns if not types.is_numeric_dtype(columns[name])]
    names = [name for name in texts if _few_of(columns[name]).nunique(dropna=False) == 1]
    return [str(name) for name in names if columns[name].nunique(dropna=False) == 1]


def _few_of(values: pd.Series) -> pd.Series:
    """Return at most MOST_ROWS evenly spaced values."""
    return values.iloc[:: len(values) // MOST_ROWS + 1]


def _sample(target: NDArray[np.float64]) -> NDArray[np.intp]:
    parts = []
    for label in (0, 1):
        rows = np.flatnonzero(target == label)
        parts.append(rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_ROWS)).astype(int)])
    return np.sort(np.concatenate(parts))


def _id_reason(values: pd.Series) -> str:
    few = _few_of(values).dropna()  # saves the count of all values for nearly all columns
    is_measured = types.is_float_dtype(values) and (few % 1 != 0).any()
    if is_measured or few.nunique() <= ID_SHARE * len(few):
        return ""
    values = values.dropna()
    if len(values) < ID_ROWS:
        return ""
    if not types.is_numeric_dtype(values):
        count = values.nunique()
        is_id = count > max(ID_ROWS, ID_SHARE * len(values))
        return f"{count:,} different texts in {len(values):,} rows" if is_id else ""
    if types.is_bool_dtype(values) or values.max() - values.min() + 1 > ROW_NUMBERS * len(values):
        return ""
    return "a different whole number in every row" if values.is_unique and (values % 1 == 0).all() else ""


def _reason(values: pd.Series, malignant: Flags, patients: NDArray[np.intp]) -> str:
    has_value = values.notna().to_numpy()
    reason = _presence(has_value, malignant)
    if reason or malignant[has_value].all() or not malignant[has_value].any():
        return reason
    present, labels = values[has_value], malignant[has_value]
    correct, rule = _best_rule(present, labels, patients[has_value])
    benign_share, malignant_share = correct[~labels].mean(), correct[labels].mean()
    if (benign_share + malignant_share) / 2 < AGREEMENT or not _is_no_chance(correct == labels, labels):
        return ""
    if correct.all() and present.nunique() == 2:
        return "equals the target in every row" if has_value.all() else "equals the target in every row with a value"
    return f"one rule ({rule}) is right in {malignant_share:.0%} of malignant and {benign_share:.0%} of benign rows"


def _presence(has_value: Flags, malignant: Flags) -> str:
    """Return how the column has values, or none, almost only in one class; empty if it does not."""
    kinds = ((has_value, VALUE_SHARE, "filled"), (~has_value, GAP_SHARE, "missing"))
    for (cases, least, word), label in product(kinds, (True, False)):
        same, other = cases[malignant == label].mean(), cases[malignant != label].mean()
        is_exact = (same + 1 - other) / 2 >= AGREEMENT
        is_almost_only_there = same >= least and same >= TIMES * other
        if (is_almost_only_there or is_exact) and _is_no_chance(cases, malignant):
            shares = (same, other) if label else (other, same)
            return f"{word} in {shares[0]:.1%} of malignant and {shares[1]:.1%} of benign rows"
    return ""


def _best_rule(values: pd.Series, malignant: Flags, patients: NDArray[np.intp]) -> tuple[Flags, str]:
    """Return which rows the best single rule on ``values`` (n,) gets right, and the rule in words."""
    is_number = types.is_numeric_dtype(values)
    rules = []
    if not is_number or values.nunique() <= FEW_VALUES:
        rules.append((_right_by_value(values, malignant, patients), "the class that a value mostly has"))
    if is_number:
        rules.append(_threshold(values.to_numpy(dtype=float), malignant))
    return max(rules, key=lambda rule: float(rule[0][malignant].mean() + rule[0][~malignant].mean()))


def _right_by_value(values: pd.Series, malignant: Flags, patients: NDArray[np.intp]) -> Flags:
    """Return the rows whose class is the one for which their value is typical among the other patients' rows."""
    codes = pd.factorize(values)[0]
    counts = [np.bincount(codes, cases)[codes] / cases.sum() for cases in (malignant, ~malignant)]
    correct: Flags = (counts[0] > counts[1]) == malignant
    if (correct[malignant].mean() + correct[~malignant].mean()) / 2 < AGREEMENT:
        return correct  # without the patient's own rows it is right even less often
    pairs = np.unique(np.column_stack([codes, patients]), axis=0, return_inverse=True)[1].ravel()
    counts = [
        count - np.bincount(pairs, cases)[pairs] / cases.sum()
        for count, cases in zip(counts, (malignant, ~malignant), strict=True)
    ]
    difference = np.round(counts[0] - counts[1], 9)
    correct = (difference > 0) & malignant | (difference < 0) & ~malignant
    return correct


def _threshold(values: NDArray[np.float64], malignant: Flags) -> tuple[Flags, str]:
    """Return the rows on the right side of the best threshold, and the rule in words."""
    order = np.argsort(values, kind="stable")
    sorted_values = values[order]
    shares = [np.cumsum(cases[order]) / cases.sum() for cases in (malignant, ~malignant)]
    is_end = np.append(sorted_values[1:] > sorted_values[:-1], False)  # of equal values
    difference = np.where(is_end, shares[0] - shares[1], 0.0)
    best = int(np.argmax(np.abs(difference)))
    below = values <= sorted_values[best]
    is_malignant_below = difference[best] > 0
    side = "up to" if is_malignant_below else "above"
    return (below == malignant) == is_malignant_below, f"malignant {side} {sorted_values[best]:g}"


def _class_columns(table: pd.DataFrame, malignant: Flags) -> list[str]:
    """Return the columns of a one-hot table: each row has its 1 in one of them or in the target."""
    ones = {str(name): flags for name, values in table.items() if (flags := _ones(values)) is not None and flags.any()}
    ones_so_far, names = malignant.copy(), []
    for name, flags in sorted(ones.items(), key=lambda item: -int(item[1].sum())):
        if not (flags & ones_so_far).any():
            ones_so_far |= flags
            names.append(name)
    is_complete = len(names) > 1 and ones_so_far.mean() >= SUMS
    return names if is_complete and _is_no_chance(ones_so_far & ~malignant, malignant) else []


def _ones(values: pd.Series) -> Flags | None:
    """Return the rows where a column of zeros and ones, or of such words, is one; None for another column."""
    if types.is_numeric_dtype(values):
        numbers = values.to_numpy(dtype=float)
        return numbers == 1 if np.isin(numbers[~np.isnan(numbers)], (0, 1)).all() else None
    unique = values.dropna().unique()
    words = {value: str(value).strip().casefold() for value in unique} if len(unique) <= FEW_VALUES else {}
    if not words or not set(words.values()) <= {*TRUE_WORDS, *FALSE_WORDS}:
        return None
    return values.isin([value for value, word in words.items() if word in TRUE_WORDS]).to_numpy()


def _is_no_chance(cases: Flags, malignant: Flags) -> bool:
    """Return whether ``cases`` has so few rows of one class that this is less probable than CHANCE."""
    few = malignant if cases[malignant].mean() < cases[~malignant].mean() else ~malignant
    return chance(len(cases), int(cases.sum()), int(few.sum()), int((cases & few).sum())) < CHANCE


def chance(rows: int, cases: int, others: int, common: int) -> float:
    """Return the probability that ``cases`` and ``others`` of ``rows``, drawn at random, share at most ``common``.

    The lower tail of the hypergeometric distribution.
    """
    least = max(0, cases + others - rows)
    total = _ways(rows, cases)
    ways = (_ways(others, k) + _ways(rows - others, cases - k) for k in range(least, min(common, cases, others) + 1))
    return min(1.0, sum(exp(way - total) for way in ways))


def _ways(n: int, k: int) -> float:
    """Return the logarithm of the number of ways to choose ``k`` of ``n``."""
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
