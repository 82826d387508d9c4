"""Choose the metadata columns if the layout requests all of them ("*"): those that train and test cases share."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

import pandas as pd

from features.folder.layout import EVERY, Columns, Layout
from runtime.errors import list_names

# The ISIC archive's columns that are known only after a biopsy, or only for lesions that had one.
DIAGNOSIS_COLUMNS = ("diagnosis", "diagnosis_*", "benign_malignant", "malignant", "iddx_*", "mel_*", "lesion_id")
NO_METADATA = ("patient_id", "target", "fold_group", "picture", "width", "height", "file_bytes", "source")
# Column names of the archive -> names of the same columns in the contest of 2020.
CONTEST_NAMES = {"anatom_site_general": "anatom_site_general_challenge"}


def reveals_diagnosis(column: str) -> bool:
    """Return whether a column of this name is known only after the lesion was diagnosed."""
    return any(fnmatchcase(column.lower(), pattern) for pattern in DIAGNOSIS_COLUMNS)


def choose_metadata(raw: pd.DataFrame, columns: Columns) -> dict[str, str]:
    """Return the metadata columns of ``raw`` that ``columns`` requests -> their names in the case table.

    "*" requests all columns except ids, labels, sizes and those that reveal the diagnosis.
    """
    if EVERY not in columns.metadata:
        return {name: name for name in columns.metadata}
    others = {columns.image_name, columns.patient_id, columns.target, columns.fold_group, *NO_METADATA}
    names = [str(name) for name in raw.columns if name not in others and not reveals_diagnosis(str(name))]
    return {name: name if CONTEST_NAMES.get(name, name) in names else CONTEST_NAMES.get(name, name) for name in names}


def requested_metadata(parts: Mapping[str, pd.DataFrame], layout: Layout) -> list[str]:
    """Return the names of the requested metadata columns; "*" requests all of the training cases in ``parts``."""
    if EVERY not in layout.columns.metadata:
        return list(layout.columns.metadata)
    return [str(name) for name in parts["train"] if name not in NO_METADATA and not reveals_diagnosis(str(name))]


def diagnosis_notes(raw: pd.DataFrame, layout: Layout, where: str) -> list[str]:
    """Return a note about the columns of ``raw`` that reveal the diagnosis, if all columns are requested."""
    names = [str(name) for name in raw.columns if reveals_diagnosis(str(name))]
    if EVERY not in layout.columns.metadata or not names:
        return []
    return [f"{where}: columns that reveal the diagnosis are not used as features: {list_names(names, 12)}"]


def keep_shared_metadata(
    parts: Mapping[str, pd.DataFrame], layout: Layout, notes: list[str]
) -> dict[str, pd.DataFrame]:
    """Return ``parts`` without the metadata columns that only train or only test cases have, if all are requested.

    Such a column cannot help a prediction, because it is missing in training or in the predicted cases; ``notes``
    lists it. Other parts, and the parts of a data folder without test cases, are returned unchanged.
    """
    if (
        EVERY not in layout.columns.metadata
        or not layout.test
        or not all(len(parts[role]) for role in ("train", "test"))
    ):
        return dict(parts)
    columns = {role: [str(name) for name in parts[role] if name not in NO_METADATA] for role in ("train", "test")}
    result = dict(parts)
    for role, other in (("train", "test"), ("test", "train")):
        alone = [name for name in columns[role] if name not in columns[other] and not reveals_diagnosis(name)]
        if alone:
            notes.append(f"columns that only {role} cases have are not used as features: {list_names(alone, 12)}")
        result[role] = parts[role].drop(columns=alone)
    return result
