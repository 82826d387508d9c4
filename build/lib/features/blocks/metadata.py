"""Feature block: what the clinic wrote down about the patient and the place, and how much of it is missing."""

import pandas as pd
from pandas.api import types

from features.blocks import Need, Sources

# Columns of the ISIC archive that tell who took the picture and with what.
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
# The group, the picture, and the contest's own shard number, which is -1 for every test case.
NOT_METADATA = ("patient_id", "picture", "width", "height", "file_bytes", "tfrecord", "source")


def build(cases: pd.DataFrame, sources: Sources) -> pd.DataFrame:
    """Return every metadata column of ``cases``: numbers as float64, the rest as strings, missing left missing.

    ``missing_count`` is how many of them a case lacks. What names the group or describes the picture is left
    out.
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
