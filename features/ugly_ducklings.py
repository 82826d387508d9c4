"""Find ugly ducklings: lesions that differ from the other lesions of their patient (Grob and Bonerandi 1998)."""

import pandas as pd

UGLY_SHARE = 0.05  # share of the lesions that can be compared with others
LEAST_PICTURES = 3  # pictures of a patient; two are equally far from each other
DISTANCE = "_distance_ratio"


def duckling_distance(block: pd.DataFrame) -> pd.Series:
    """Return each lesion's distance from its patient's other lesions, in units of the patient's median distance.

    It is the mean over the networks of the distance ratios in the ugly-duckling ``block``; 1 is the usual distance.
    """
    return block[[name for name in block.columns if name.endswith(DISTANCE)]].mean(axis=1)


def ugly_limit(distance: pd.Series, patients: pd.Series) -> float:
    """Return the distance that 5 % of the comparable lesions exceed, but at least 1; NaN if no lesion is comparable.

    Lesions of patients with fewer than three pictures are not comparable.
    """
    return max(float(distance[_is_comparable(distance, patients)].quantile(1 - UGLY_SHARE)), 1.0)


def ugly_ducklings(distance: pd.Series, patients: pd.Series, limit: float) -> pd.Series:
    """Return whether each lesion (index of ``distance``) is comparable and farther than ``limit`` from the others."""
    return _is_comparable(distance, patients) & (distance > limit)


def _is_comparable(distance: pd.Series, patients: pd.Series) -> pd.Series:
    patient = patients.loc[distance.index]
    return patient.map(patient.value_counts()).astype(int) >= LEAST_PICTURES
