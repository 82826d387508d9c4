"""Are a design's folds fit for nesting: patients whole, enough folds, both classes in each?"""

import numpy as np
import pandas as pd

from level2_stack.design.assemble import Design
from runtime.errors import Faults, InputFault, list_names

MIN_FOLDS = 3  # with two, an inner fold would be the whole of what an outer fold is trained on


def check_folds(design: Design) -> None:
    """Raise InputFault unless folds keep patients whole, are 3 or more, and any two of them leave both classes."""
    spans = pd.Series(design.folds).groupby(design.groups).nunique()
    if (spans > 1).any():
        raise InputFault(f"cases: patients in more than one fold: {list_names(spans.index[spans > 1])}")
    folds = np.unique(design.folds)
    if len(folds) < MIN_FOLDS:
        raise InputFault(f"cases: {len(folds)} fold(s); nested cross-validation needs at least {MIN_FOLDS}")
    faults = Faults()
    malignant = {int(fold): (design.y[design.folds == fold] == 1) for fold in folds}
    for fold, own in malignant.items():
        if own.all() or not own.any():
            faults.add(f"fold {fold}: {int(own.sum())} malignant of {len(own)}")
    faults.raise_if_any("every fold needs both classes; fewer folds may do")
