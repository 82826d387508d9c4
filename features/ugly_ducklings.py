"""Which lesions stand apart from the others of their patient: the ugly ducklings (Grob and Bonerandi 1998)."""

import pandas as pd

UGLY_SHARE = 0.05  # of the lesions that have others to be compared with
LEAST_COMPARED = 3  # pictures of a patient: of two, both are as far from the other
DISTANCE = "_distance_ratio"


def duckling_distance(block: pd.DataFrame) -> pd.Series:
    """Return how far each lesion of an ugly-duckling ``block`` stands from its patient's others, over their median.

    It is the mean over the networks of the block's distance ratios, 1 for a lesion as far off as usual.
    """
    return block[[name for name in block.columns if name.endswith(DISTANCE)]].mean(axis=1)


def ugly_limit(distance: pd.Series, patients: pd.Series) -> float:
    """Return the distance that 5 % of the lesions with others to be compared with exceed; at least 1, NaN without any.

    Lesions of patients with fewer than three pictures do not count.
    """
    return max(float(distance[_compared(distance, patients)].quantile(1 - UGLY_SHARE)), 1.0)


def ugly_ducklings(distance: pd.Series, patients: pd.Series, limit: float) -> pd.Series:
    """Return which lesions (index of ``distance``) are farther than ``limit`` from two or more others of a patient."""
    return _compared(distance, patients) & (distance > limit)


def _compared(distance: pd.Series, patients: pd.Series) -> pd.Series:
    patient = patients.loc[distance.index]
    return patient.map(patient.value_counts()).astype(int) >= LEAST_COMPARED
