"""Feature block: z-scores of each lesion's numeric metadata among the same patient's lesions."""

import numpy as np
import pandas as pd
from pandas.api import types

from features.blocks import Need, Sources
from features.blocks.metadata import ACQUISITION as ACQUISITION_METADATA
from features.blocks.metadata import NOT_METADATA

ACQUISITION: tuple[str, ...] = ()
NEEDS: tuple[Need, ...] = ()
# Age belongs to the patient; the block "patient" describes how it changes.
OTHER_NUMBERS = ("age_approx", "age", *ACQUISITION_METADATA, *NOT_METADATA)
SAME = 1e-9  # share of the patient's largest measurement below which a spread is a rounding error


def build(cases: pd.DataFrame, sources: Sources) -> pd.DataFrame:
    """Return ``<name>_z`` for every numeric metadata column: the z-score within the patient.

    These were the most important columns of the ISIC 2024 winners (1st and 2nd place: every number of total-body
    photography as a z-score within the patient). 0 if the patient has one measurement or all are equal; missing values
    stay missing. No columns if the cases have no numbers except age.
    """
    names = [name for name in cases.columns if name not in OTHER_NUMBERS and _is_number(cases[name])]
    if not names:
        return pd.DataFrame(index=cases.index)
    values = cases[names].astype("float64")
    within = values.groupby(cases["patient_id"])
    difference = values - within.transform("mean")
    spread = within.transform("std", ddof=0)
    rounding = SAME * np.maximum(within.transform("max").abs(), within.transform("min").abs())
    z_scores = difference / spread.where(spread > rounding, np.inf)
    return z_scores.where(values.notna()).add_suffix("_z")


def _is_number(column: pd.Series) -> bool:
    return types.is_numeric_dtype(column) and not types.is_bool_dtype(column)
