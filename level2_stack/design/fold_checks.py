"""Checks that a design's folds allow nesting: patients not split, enough folds, both classes in each."""

import numpy as np
import pandas as pd

from level2_stack.design.assemble import Design
from runtime.errors import Faults, InputFault, list_names
from runtime.plural import number_of

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
    if len(folds) < MIN_FOLDS:
        raise InputFault(f"cases: {number_of(len(folds), 'fold')}; nested cross-validation needs at least {MIN_FOLDS}")
    faults = Faults()
    malignant = {int(fold): (design.y[design.folds == fold] == 1) for fold in folds}
    for fold, targets in malignant.items():
        if targets.all() or not targets.any():
            faults.add(f"fold {fold}: {int(targets.sum())} malignant of {len(targets)}")
    faults.raise_if_any("every fold needs both classes; use fewer folds")
