"""Feature block: the clinic's metadata of patient and lesion, and how much of it is missing."""

import pandas as pd
from pandas.api import types

from features.blocks import Need, Sources

# Columns of the ISIC archive that describe who took the picture and with which device.
ACQUISITION = (
    "camera",
    "device",
    "attribution",
    "copyright_license",
    "image_type",
    "dermoscopic_type",
    "tbp_tile_type",
    "pixels_x",
    "pixels_y",
)
NEEDS: tuple[Need, ...] = ()
# The patient, the picture, and the contest's shard number, which is -1 for every test case.
NOT_METADATA = ("patient_id", "picture", "width", "height", "file_bytes", "tfrecord", "source")


def build(cases: pd.DataFrame, sources: Sources) -> pd.DataFrame:
    """Return every metadata column of ``cases``: numbers as float64, others as strings; missing values stay missing.

    ``missing_count`` is the number of missing values of a case. NOT_METADATA is left out.
    """
    metadata = cases.drop(columns=list(NOT_METADATA), errors="ignore")
    features = {str(name): _plain(metadata[name]) for name in metadata}
    missing = metadata.isna().sum(axis=1).astype("float64")
    return pd.DataFrame(features | {"missing_count": missing}, index=cases.index)


def _plain(values: pd.Series) -> pd.Series:
    if types.is_numeric_dtype(values):
        return values.astype("float64")
    texts = [None if missing else str(value) for value, missing in zip(values, values.isna(), strict=True)]
    return pd.Series(texts, index=values.index, dtype="object")
