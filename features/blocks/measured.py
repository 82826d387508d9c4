"""Feature block: how what was measured of a lesion stands among the same patient's others."""

import numpy as np
import pandas as pd
from pandas.api import types

from features.blocks import Need, Sources
from features.blocks.metadata import ACQUISITION as HOW_IT_WAS_TAKEN
from features.blocks.metadata import NOT_METADATA

ACQUISITION: tuple[str, ...] = ()
NEEDS: tuple[Need, ...] = ()
# The age is the patient's, and the block "patient" tells how it changes.
NOT_MEASURED = ("age_approx", "age", *HOW_IT_WAS_TAKEN, *NOT_METADATA)
SAME = 1e-9  # of the largest measurement of the patient: a spread within rounding


def build(cases: pd.DataFrame, sources: Sources) -> pd.DataFrame:
    """Return ``<name>_z`` for every metadata column of numbers: deviations from the patient's mean, in its spread.

    The winners of ISIC 2024 leant on such columns most (1st and 2nd place: every number of total-body photography as a
    z-score within the patient). 0 where the patient has one measurement or all are the same; what is missing stays
    missing. No column where the cases have no number but the age.
    """
    names = [name for name in cases.columns if name not in NOT_MEASURED and _is_number(cases[name])]
    if not names:
        return pd.DataFrame(index=cases.index)
    values = cases[names].astype("float64")
    within = values.groupby(cases["patient_id"])
    difference = values - within.transform("mean")
    spread = within.transform("std", ddof=0)
    rounding = SAME * np.maximum(within.transform("max").abs(), within.transform("min").abs())
    apart = difference / spread.where(spread > rounding, np.inf)
    return apart.where(values.notna()).add_suffix("_z")


def _is_number(column: pd.Series) -> bool:
    return types.is_numeric_dtype(column) and not types.is_bool_dtype(column)
