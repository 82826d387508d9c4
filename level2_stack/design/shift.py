"""Shift between train and test: how well each set of columns tells a test row from a train row, and what to leave out.

A classifier that tells them apart (adversarial validation) has found something that will not hold where it counts.
What a lesion looks like may differ between two groups of patients; how a picture was taken should not decide.
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
# Fewer and larger steps than for the target: it is enough to see whether there is a difference.
BOOSTER = {"rounds": 60, "learning_rate": 0.1}
MOST_NAMED = 3
FAMILIES = {"logit": NETWORKS} | dict.fromkeys(CONTRASTS, "contrasts")


def acquisition_set(block: str) -> str:
    """Return the name under which the acquisition columns of ``block`` stand as a set of their own."""
    return f"{block} (acquisition)"


def column_families(columns: Iterable[str], acquisition: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    """Return the named sets of a design's ``columns`` (``<family>.<name>``) that are worth comparing; none is empty.

    They are the networks' logits together, their contrasts, every other family or block, of every block in
    ``acquisition`` those of its columns that are listed there (see ``acquisition_set``), and ``all``.
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
    most_rows: int = 8000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return how well every set of columns in ``families`` tells the test rows of ``X`` from its train rows.

    ``X`` has n rows, ``is_test`` and ``groups`` (patients) are (n,). The result has a row per set: ``auc`` out of fold
    over patient-grouped folds, 0.5 where train and test are alike, with ``low`` and ``high`` (95 %, patients
    resampled); ``n_columns``; ``leaned_on``, the up to three columns of most gain. Scores are ranked within their fold
    and then pooled. ``auc, low, high`` are NaN where nothing can be learnt: fewer than two train or two test patients,
    columns that never vary, or too few rows for a single split. Without train or without test rows the table is empty.

    Of more than ``most_rows`` rows a random part is used, half of it test rows if there are enough. Rows are thinned
    and not patients, because what is constant within a patient needs many patients. The interval takes the fits as
    given: it is somewhat too narrow.
    """
    if is_test.all() or not is_test.any():
        return pd.DataFrame(columns=list(COLUMNS), index=pd.Index([], name="columns"))
    random = np.random.default_rng(seed)
    rows = _thinned(is_test, most_rows, random)
    sample = _Sample(is_test[rows].astype(np.float64), groups[rows], _folds(is_test[rows], groups[rows], random), seed)
    told = {name: _told(sample, X[columns].iloc[rows]) for name, columns in families.items()}
    scores = pd.DataFrame({name: outcome.score for name, outcome in told.items() if outcome.leaned_on})
    drawn = patient_bootstrap(sample.y, scores, sample.groups, replicates=REPLICATES, seed=seed)
    table = drawn.reindex(index=pd.Index(list(families), name="columns"), columns=["auc", "low", "high"]).astype(float)
    table["n_columns"] = [len(columns) for columns in families.values()]
    table["leaned_on"] = [", ".join(outcome.leaned_on) for outcome in told.values()]
    return table


def columns_to_exclude(
    table: pd.DataFrame, acquisition: Mapping[str, Collection[str]], threshold: float = THRESHOLD
) -> dict[str, tuple[str, ...]]:
    """Return the acquisition columns to leave out, by block, in the names and the shape of ``acquisition``.

    A block's acquisition columns stay only if the upper end of the interval in ``table`` is at most ``threshold``: if
    it is safe to say that they do not shift. A gain that they bring on shifted rows is lost on the test rows, and
    nothing out of fold would show it, whereas leaving them out costs no more than that gain. So whatever is not known
    (few patients, no test rows, no such row in ``table``) is left out.
    """
    return {
        block: tuple(columns)
        for block, columns in acquisition.items()
        if columns and _may_exceed(_upper_end(table, acquisition_set(block)), threshold)
    }


def sentences(table: pd.DataFrame, threshold: float = THRESHOLD) -> Iterator[str]:
    """Yield a sentence per row of ``table``: the AUC, its interval, and what follows by ``columns_to_exclude``."""
    if table.empty:
        yield "shift: no train and test rows to compare; acquisition columns left out"
    for name, row in table.iterrows():
        yield f"shift: {name} {_finding(row, threshold)}{_consequence(str(name), row, threshold)}"


def _finding(row: pd.Series, threshold: float) -> str:
    value, low, high = (float(row[name]) for name in ("auc", "low", "high"))
    if np.isnan(value):
        return "unknown, there is nothing to learn it from"
    relation = ">" if value > threshold else "may be >" if _may_exceed(high, threshold) else "<="
    return f"{value:.2f} [{low:.2f}, {high:.2f}] {relation} {threshold:.2f}"


def _consequence(name: str, row: pd.Series, threshold: float) -> str:
    doubtful = _may_exceed(float(row["high"]), threshold)
    if name.endswith(acquisition_set("")):
        return ": left out" if doubtful else ": kept"
    return f", most by {row['leaned_on']}" if doubtful and row["leaned_on"] else ""


def _upper_end(table: pd.DataFrame, name: str) -> float:
    return float(table["high"].astype(float)[name]) if name in table.index else float("nan")


def _may_exceed(high: float, threshold: float) -> bool:
    """Return whether the upper end ``high`` is above ``threshold`` or unknown."""
    return not high <= threshold


class _Sample(NamedTuple):
    y: Floats  # 1 for a test row
    groups: NDArray[np.object_]
    folds: NDArray[np.intp]
    seed: int


class _Told(NamedTuple):
    score: Floats  # NaN where no fit could be made
    leaned_on: list[str]  # empty where nothing was learnt


def _thinned(is_test: NDArray[np.bool_], most_rows: int, random: np.random.Generator) -> NDArray[np.intp]:
    test, train = (random.permutation(np.flatnonzero(kept)) for kept in (is_test, ~is_test))
    n_test = min(len(test), max(most_rows // 2, most_rows - len(train)))
    return np.sort(np.concatenate([test[:n_test], train[: most_rows - n_test]]))


def _folds(is_test: NDArray[np.bool_], groups: NDArray[np.object_], random: np.random.Generator) -> NDArray[np.intp]:
    """Return the fold of every row, one fold per patient; a single fold where there are too few patients.

    Patients are dealt in turn, train and test patients alike, otherwise at random. Folds balanced on pictures per
    patient would each repeat the chance difference of the whole sample: they give picture counts an AUC of 0.6 where
    nothing shifts.
    """
    patients, patient_of = np.unique(groups.astype(str), return_inverse=True)
    pictures, tests = np.bincount(patient_of), np.bincount(patient_of, weights=is_test)
    count = max(1, min(FOLDS, int((tests > 0).sum()), int((tests < pictures).sum())))
    order = np.lexsort((random.random(len(patients)), tests / pictures))
    fold_of = np.empty(len(patients), dtype=np.intp)
    fold_of[order] = np.arange(len(patients)) % count
    return fold_of[patient_of]


def _told(sample: _Sample, X: pd.DataFrame) -> _Told:
    """Return the out-of-fold scores of the sample's rows, as percentiles within the fold, and what they rest on."""
    learner = learners.find("lgbm")
    params = learner.Params.model_validate(BOOSTER)
    score, gains = np.full(len(X), np.nan), pd.Series(0.0, index=X.columns)
    for seen, held_out in _splits(sample) if X.shape[1] else ():
        predict = learner.fit(params, X[seen], sample.y[seen], groups=sample.groups[seen], seed=sample.seed)
        score[held_out] = rankdata(predict(X[held_out])) / held_out.sum()
        gains += pd.Series(predict.importance) if isinstance(predict, HasImportance) else 0.0
    most = gains[gains > 0].sort_values(ascending=False, kind="stable").index[:MOST_NAMED]
    return _Told(score, [str(name) for name in most])


def _splits(sample: _Sample) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Yield, per fold, the rows to fit on and the rows to score, where both have train and test rows."""
    for fold in np.unique(sample.folds):
        held_out = sample.folds == fold
        if len(np.unique(sample.y[held_out])) == len(np.unique(sample.y[~held_out])) == 2:
            yield ~held_out, held_out
