"""Shift between train and test: how well each set of columns separates their rows, and which columns to exclude.

If a classifier can separate train from test rows (adversarial validation), it uses a difference that does not help on
the test rows. The lesions of two groups of patients may differ; the way pictures were taken should not decide.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from level2_stack import learners
from level2_stack.contrasts import FAMILIES as CONTRASTS
from level2_stack.contrasts import NETWORKS
from level2_stack.evaluation.auc import patient_bootstrap
from level2_stack.learner_contract import HasImportance

Floats = NDArray[np.float64]
COLUMNS = ("auc", "low", "high", "n_columns", "leaned_on")
THRESHOLD = 0.60
FOLDS = 3
REPLICATES = 200
# Fewer and larger steps than for the target: they are enough to detect a difference.
BOOSTER = {"rounds": 60, "learning_rate": 0.1}
MAX_NAMES = 3
FAMILIES = {"logit": NETWORKS} | dict.fromkeys(CONTRASTS, "contrasts")


def acquisition_set(block: str) -> str:
    """Return the name of the set with the acquisition columns of ``block``."""
    return f"{block} (acquisition)"


def column_families(columns: Iterable[str], acquisition: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    """Return the sets of a design's ``columns`` (``<family>.<name>``) to compare, by name; none is empty.

    The sets are the networks' logits, their contrasts, every other family or block, the columns of each block that
    ``acquisition`` lists (named by ``acquisition_set``), and ``all``.
    """
    sets: dict[str, list[str]] = {}
    for column in columns:
        prefix, _, name = column.partition(".")
        sets.setdefault(FAMILIES.get(prefix, prefix), []).append(column)
        if name in acquisition.get(prefix, ()):
            sets.setdefault(acquisition_set(prefix), []).append(column)
        sets.setdefault("all", []).append(column)
    return sets | {"all": sets.pop("all")} if sets else sets


def adversarial_validation(
    X: pd.DataFrame,
    is_test: NDArray[np.bool_],
    groups: NDArray[np.object_],
    families: Mapping[str, list[str]],
    *,
    max_rows: int = 8000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return how well every set of columns in ``families`` separates the test rows of ``X`` from its train rows.

    ``X`` has n rows, ``is_test`` and ``groups`` (patients) are (n,). The result has a row per set: ``auc`` out of fold
    over patient-grouped folds, 0.5 if train and test do not differ, with ``low`` and ``high`` (95 %, patients
    resampled); ``n_columns``; ``leaned_on``, the names of up to three columns with the largest gain. Scores are ranked
    within their fold and then pooled. ``auc, low, high`` are NaN if nothing can be learned: fewer than two train or two
    test patients, constant columns, or too few rows for a single split. Without train or without test rows the table
    is empty.

    If there are more than ``max_rows`` rows, a random sample is used, half of it test rows if there are enough. It
    samples rows and not patients, because a column that is constant within each patient needs many patients. The
    interval ignores the uncertainty of the fits and is therefore somewhat too narrow.
    """
    if is_test.all() or not is_test.any():
        return pd.DataFrame(columns=list(COLUMNS), index=pd.Index([], name="columns"))
    random = np.random.default_rng(seed)
    rows = _sample_rows(is_test, max_rows, random)
    sample = _Sample(is_test[rows].astype(np.float64), groups[rows], _folds(is_test[rows], groups[rows], random), seed)
    outcomes = {name: _separate(sample, X[columns].iloc[rows]) for name, columns in families.items()}
    scores = pd.DataFrame({name: outcome.score for name, outcome in outcomes.items() if outcome.top_columns})
    intervals = patient_bootstrap(sample.y, scores, sample.groups, replicates=REPLICATES, seed=seed)
    table = intervals.reindex(index=pd.Index(list(families), name="columns"), columns=["auc", "low", "high"]).astype(
        float
    )
    table["n_columns"] = [len(columns) for columns in families.values()]
    table["leaned_on"] = [", ".join(outcome.top_columns) for outcome in outcomes.values()]
    return table


def columns_to_exclude(
    table: pd.DataFrame, acquisition: Mapping[str, Collection[str]], threshold: float = THRESHOLD
) -> dict[str, tuple[str, ...]]:
    """Return the acquisition columns to exclude, by block, with the names and the shape of ``acquisition``.

    A block's acquisition columns stay only if the upper limit in ``table`` is at most ``threshold``, so that it is safe
    to say that they do not shift. A gain from shifted columns is lost on the test rows, and no out-of-fold figure shows
    that loss, whereas excluding the columns costs no more than the gain. So a block without a known limit (few
    patients, no test rows, no such row in ``table``) is excluded.
    """
    return {
        block: tuple(columns)
        for block, columns in acquisition.items()
        if columns and _may_exceed(_upper_limit(table, acquisition_set(block)), threshold)
    }


def describe_shifts(table: pd.DataFrame, threshold: float = THRESHOLD) -> Iterator[str]:
    """Yield a sentence per row of ``table``: the AUC, its interval, and whether its columns are left out."""
    if table.empty:
        yield "shift: no train and test rows to compare; acquisition columns left out"
    for name, row in table.iterrows():
        yield f"shift: AUC of {name} {_comparison(row, threshold)}{_consequence(str(name), row, threshold)}"


def _comparison(row: pd.Series, threshold: float) -> str:
    value, low, high = (float(row[name]) for name in ("auc", "low", "high"))
    if np.isnan(value):
        return "unknown (too few rows or patients, or constant columns)"
    relation = ">" if value > threshold else "may be >" if _may_exceed(high, threshold) else "<="
    return f"{value:.2f} [{low:.2f}, {high:.2f}] {relation} {threshold:.2f}"


def _consequence(name: str, row: pd.Series, threshold: float) -> str:
    may_shift = _may_exceed(float(row["high"]), threshold)
    if name.endswith(acquisition_set("")):
        return "; columns left out" if may_shift else "; columns kept"
    return f"; most important: {row['leaned_on']}" if may_shift and row["leaned_on"] else ""


def _upper_limit(table: pd.DataFrame, name: str) -> float:
    return float(table["high"].astype(float)[name]) if name in table.index else float("nan")


def _may_exceed(high: float, threshold: float) -> bool:
    """Return whether the upper limit ``high`` is above ``threshold`` or NaN."""
    return not high <= threshold


class _Sample(NamedTuple):
    y: Floats  # 1 for a test row
    groups: NDArray[np.object_]
    folds: NDArray[np.intp]
    seed: int


class _Separation(NamedTuple):
    score: Floats  # NaN in folds without a fit
    top_columns: list[str]  # empty if no fit found a split


def _sample_rows(is_test: NDArray[np.bool_], max_rows: int, random: np.random.Generator) -> NDArray[np.intp]:
    test, train = (random.permutation(np.flatnonzero(rows)) for rows in (is_test, ~is_test))
    n_test = min(len(test), max(max_rows // 2, max_rows - len(train)))
    return np.sort(np.concatenate([test[:n_test], train[: max_rows - n_test]]))


def _folds(is_test: NDArray[np.bool_], groups: NDArray[np.object_], random: np.random.Generator) -> NDArray[np.intp]:
    """Return the fold of every row, with a patient's rows in one fold; a single fold if there are too few patients.

    Patients are assigned to the folds in turn, in random order, so that every fold has its share of train and test
    patients. Folds that are also balanced by pictures per patient would each repeat the chance difference of the whole
    sample: with them picture counts have an AUC of 0.6 although nothing shifts.
    """
    patients, patient_of = np.unique(groups.astype(str), return_inverse=True)
    pictures, tests = np.bincount(patient_of), np.bincount(patient_of, weights=is_test)
    count = max(1, min(FOLDS, int((tests > 0).sum()), int((tests < pictures).sum())))
    order = np.lexsort((random.random(len(patients)), tests / pictures))
    fold_of = np.empty(len(patients), dtype=np.intp)
    fold_of[order] = np.arange(len(patients)) % count
    return fold_of[patient_of]


def _separate(sample: _Sample, X: pd.DataFrame) -> _Separation:
    """Return the out-of-fold scores of the sample's rows, as percentiles within the fold, and the most used columns."""
    learner = learners.find("lgbm")
    params = learner.Params.model_validate(BOOSTER)
    score, gains = np.full(len(X), np.nan), pd.Series(0.0, index=X.columns)
    for training, held_out in _splits(sample) if X.shape[1] else ():
        predict = learner.fit(params, X[training], sample.y[training], groups=sample.groups[training], seed=sample.seed)
        score[held_out] = rankdata(predict(X[held_out])) / held_out.sum()
        gains += pd.Series(predict.importance) if isinstance(predict, HasImportance) else 0.0
    top_columns = gains[gains > 0].sort_values(ascending=False, kind="stable").index[:MAX_NAMES]
    return _Separation(score, [str(name) for name in top_columns])


def _splits(sample: _Sample) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Yield, per fold, the rows to fit on and the rows to score, if both have train and test rows."""
    for fold in np.unique(sample.folds):
        held_out = sample.folds == fold
        if len(np.unique(sample.y[held_out])) == len(np.unique(sample.y[~held_out])) == 2:
            yield ~held_out, held_out
