"""The names that public data sets give to the same column: read as the requested name where only one can be meant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from features.folder.layout import EVERY, LABEL_COLUMNS, Layout
from features.folder.notes import warning
from runtime.errors import list_names

if TYPE_CHECKING:
    import pandas as pd

ID_COLUMNS = ("image_name", "isic_id")  # possible names of the id column; isic_id is that of the ISIC archive
IMAGE_NAMES = (
    *ID_COLUMNS,
    *("image_id", "image", "img_id", "imageid", "image_file", "filename", "file_name", "img_name", "ddi_file"),
    *("bcn_filename", "derm"),
)
PATIENT_NAMES = ("patient_id", "patient", "patientid", "pat_id", "subject_id", "patient_number")
LESION_NAMES = ("lesion_id", "lesionid")
TARGET_NAMES = ("target", "malignant", "is_malignant", "melanoma", "mel", "benign_malignant")
SEX_NAMES = ("sex", "gender", "patient_sex")
AGE_NAMES = ("age_approx", "age_approximate", "age", "patient_age", "age_years")
SITE_NAMES = (
    *("anatom_site_general_challenge", "anatom_site_general", "anatom_site", "localization", "localisation"),
    *("location", "site", "region", "body_site"),
)
METADATA_NAMES = (SEX_NAMES, AGE_NAMES, SITE_NAMES)
GROUPS = (IMAGE_NAMES, PATIENT_NAMES, LESION_NAMES, TARGET_NAMES, *METADATA_NAMES)


def other_names(name: str) -> tuple[str, ...]:
    """Return the names, in lower case, that public data sets give to the column ``name``; none if it has no others."""
    plain = name.casefold()
    return next((tuple(other for other in group if other != plain) for group in GROUPS if plain in group), ())


def has_name(header: Iterable[str], column: str) -> bool:
    """Return whether ``header`` has ``column``, also in another case or under a name of a public data set."""
    present = {str(name).casefold() for name in header}
    return column.casefold() in present or not present.isdisjoint(other_names(column))


def use_requested_names(raw: pd.DataFrame, wishes: Iterable[str], where: str, notes: list[str]) -> pd.DataFrame:
    """Return ``raw`` with the column names ``wishes`` that it lacks, where exactly one column has another of them.

    ``notes`` collects the columns that are read under another name. Of several columns that could be meant, none is
    renamed, and the note lists them.
    """
    wishes = list(wishes)
    by_lower_case = {str(name).casefold(): str(name) for name in raw.columns if name not in wishes}
    renames = dict[str, str]()
    for name in (name for name in wishes if name not in raw):
        candidates = [by_lower_case[other] for other in other_names(name) if other in by_lower_case]
        candidates = _without_repeats(raw, [other for other in candidates if other not in renames])
        if len(candidates) == 1:
            renames[candidates[0]] = name
        elif candidates:
            text = f"{where}: several columns could be {name}: {list_names(candidates)}; none of them is used"
            notes.append(warning(text))
    if renames:
        notes.append(f"{where}: read {', '.join(f'{old} as {new}' for old, new in renames.items())}")
    labels = {new: raw[old] for old, new in renames.items() if old in LABEL_COLUMNS}  # they stay under their own names
    return raw.rename(columns={old: new for old, new in renames.items() if new not in labels}).assign(**labels)


def _without_repeats(raw: pd.DataFrame, names: list[str]) -> list[str]:
    """Return the first of ``names`` if all of these columns hold the same values, else ``names``."""
    first = [raw[name].equals(raw[names[0]].rename(name)) for name in names]
    return names[:1] if names and all(first) else names


def requested_columns(layout: Layout, role: str) -> list[str]:
    """Return the columns of ``layout`` that a table of ``role`` (train or test) needs."""
    columns = layout.columns
    target = [columns.target] if role == "train" else []
    metadata = [name for name in columns.metadata if name != EVERY]
    return list(dict.fromkeys([columns.image_name, columns.patient_id, *target, *metadata]))
