"""Checks that a design's folds allow nesting: patients not split, enough folds, both classes in each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from features.cases.fold_design.record import FoldRecord
from runtime.errors import Faults, InputFault, list_names
from runtime.plural import number_of
from runtime.run_folder import Run
from runtime.tables import read_table

if TYPE_CHECKING:
    from level2_stack.design.assemble import Design

MIN_FOLDS = 3  # with two, the only inner fold would be all training rows of an outer fold


def check_folds(design: Design) -> None:
    """Raise InputFault unless each patient is in one fold, and there are 3 or more folds, each with both classes."""
    spans = pd.Series(design.folds).groupby(design.groups).nunique()
    if (spans > 1).any():
        raise InputFault(
            f"cases: patients in more than one fold: {list_names(spans.index[spans > 1])}; "
            "all cases of a patient must be in one fold"
        )
    folds = np.unique(design.folds)
    check_fold_count(len(folds))
    faults = Faults()
    malignant = {int(fold): (design.y[design.folds == fold] == 1) for fold in folds}
    for fold, targets in malignant.items():
        if targets.all() or not targets.any():
            faults.add(f"fold {fold}: {int(targets.sum())} malignant of {len(targets)}")
    faults.raise_if_any("every fold needs both classes; use fewer folds")


def check_fold_count(count: int) -> None:
    """Raise InputFault if a stack cannot be nested in ``count`` folds."""
    if count < MIN_FOLDS:
        raise InputFault(f"cases: {number_of(count, 'fold')}; nested cross-validation needs at least {MIN_FOLDS}")


def foreign_fold_warnings(run: Run, networks: Sequence[str]) -> list[str]:
    """Return a warning of the ``networks`` that are not trained in the folds that a column makes; [] without them."""
    record = FoldRecord.of(run.facts())
    if not record.column:
        return []
    own = run.read_cases().query("role == 'train'")["fold"]
    paths = {name: run.level1 / name / "predictions.parquet" for name in networks}
    others = [name for name, path in paths.items() if not _is_same_partition(own, read_table(path, ["fold"])["fold"])]
    if not others:
        return []
    return [
        f"{list_names(others)}: not trained in the folds by {record.words}, as far as their tables say: their "
        "predictions for a fold come from models that may have seen its other patients, so the AUC of a fold may be "
        "too high for an unseen one"
    ]


def _is_same_partition(own: pd.Series, other: pd.Series) -> bool:
    """Return whether two folds per case (index image_name) divide the cases alike, however they are numbered."""
    pairs = pd.DataFrame({"own": own, "other": other.reindex(own.index)}).drop_duplicates()
    return bool((pairs["other"] >= 0).all() and pairs["own"].is_unique and pairs["other"].is_unique)
