"""Feature block: a case compared with all cases of its patient: counts, ages and sites."""

import pandas as pd

from features.blocks import Need, Sources

ACQUISITION = ("n_pictures", "single_picture", "n_sites")  # the number of sites grows with the number of pictures
NEEDS: tuple[Need, ...] = ()
AGE, SITE = "age_approx", "anatom_site_general_challenge"


def build(cases: pd.DataFrame, sources: Sources) -> pd.DataFrame:
    """Return counts, ages (years) and sites of each case's patient, over all of the patient's rows in ``cases``.

    Train and test patients are treated in the same way; no patient has rows in both. Ages and sites are left out if
    the case table does not have their column.
    """
    patient = cases["patient_id"]
    n_pictures = patient.map(patient.value_counts()).astype("float64")
    features = {"n_pictures": n_pictures, "single_picture": (n_pictures == 1).astype("float64")}
    if AGE in cases:
        features |= _ages(cases[AGE].astype("float64"), patient)
    if SITE in cases:
        features |= _sites(cases[SITE], patient)
    return pd.DataFrame(features, index=cases.index)


def _ages(age: pd.Series, patient: pd.Series) -> dict[str, pd.Series]:
    within = age.groupby(patient)
    least, most = within.transform("min"), within.transform("max")
    return {
        "age_min": least,
        "age_max": most,
        "age_span": most - least,
        "age_minus_patient_mean": age - within.transform("mean"),
        "years_before_last": most - age,
    }


def _sites(site: pd.Series, patient: pd.Series) -> dict[str, pd.Series]:
    """Return the patient's number of distinct sites, and the share of the patient's known sites equal to this one."""
    site = site.astype("object")
    within = site.groupby(patient)
    at_site = site.groupby([patient, site]).transform("size").astype("float64")
    known_count = within.transform("count").astype("float64")
    return {
        "n_sites": within.transform("nunique").astype("float64"),
        "site_share": (at_site / known_count).where(site.notna()),
    }
