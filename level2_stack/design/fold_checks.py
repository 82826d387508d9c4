"""Checks that a design's folds allow nesting: patients not split, enough folds, both classes in each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from runtime.errors import Faults, InputFault, list_names
from runtime.plural import number_of

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
