"""Feature block: size of the picture and its file, statistics of its pixels, and their z-scores within the patient."""

import pandas as pd

from features.blocks import Need, Sources

SIZES = ("width", "height", "file_bytes")
ACQUISITION = (*SIZES, "megapixels", "aspect", "bytes_per_pixel", "corner_darkness", "corner_black_share")
NEEDS: tuple[Need, ...] = ()
# Statistics that a dermatologist would compare between the lesions of one patient -> the least standard deviation that
# a z-score is divided by, at most a tenth of the standard deviation over a whole data set.
WITHIN_PATIENT = {
    "lab_l_mean": 1.0,
    "lab_a_mean": 0.5,
    "lab_b_mean": 0.5,
    "contrast": 0.005,
    "lesion_skin_distance": 1.0,
    "lesion_darkness": 1.0,
    "lesion_colour_spread": 0.5,
    "lesion_area": 0.02,
    "lesion_asymmetry_long": 0.02,
}


def build(cases: pd.DataFrame, sources: Sources) -> pd.DataFrame:
    """Return sizes (px, bytes), picture statistics, and within-patient z-scores of the main statistics (``<name>_z``).

    Columns without any value are left out; a picture without statistics has NaN. The z-scores of a patient's only
    picture are 0.
    """
    parts = [_sizes(cases)]
    if sources.statistics is not None:
        statistics = sources.statistics.reindex(cases.index).astype("float64")
        parts += [statistics, _within_patient(statistics, cases["patient_id"])]
    return pd.concat(parts, axis=1).dropna(axis=1, how="all")


def _sizes(cases: pd.DataFrame) -> pd.DataFrame:
    width, height, file_bytes = (cases.get(name, pd.Series(index=cases.index)).astype("float64") for name in SIZES)
    pixels = (width * height).where(lambda count: count > 0)
    sizes = {
        "width": width,
        "height": height,
        "file_bytes": file_bytes,
        "megapixels": pixels / 1e6,
        "aspect": width / height.where(height > 0),
        "bytes_per_pixel": file_bytes / pixels,
    }
    return pd.DataFrame(sizes, index=cases.index)


def _within_patient(statistics: pd.DataFrame, patient: pd.Series) -> pd.DataFrame:
    floors = pd.Series({name: floor for name, floor in WITHIN_PATIENT.items() if name in statistics}, dtype="float64")
    values = statistics[list(floors.index)]
    within = values.groupby(patient)
    spread = within.transform("std", ddof=0).clip(lower=floors, axis=1)
    return ((values - within.transform("mean")) / spread).add_suffix("_z")
