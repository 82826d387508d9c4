"""Which columns of the user's tables are metadata where the layout says "every one": those that test cases have."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

import pandas as pd

from features.folder.layout import EVERY, Columns, Layout
from runtime.errors import list_names

# What is known only after a biopsy, or only of lesions that had one, under the names of the ISIC archive.
TELLS_THE_DIAGNOSIS = ("diagnosis", "diagnosis_*", "benign_malignant", "malignant", "iddx_*", "mel_*", "lesion_id")
NO_METADATA = ("patient_id", "target", "fold_group", "picture", "width", "height", "file_bytes", "source")
# The archive's own name of what the contest of 2020 called the other: one lesion has one site.
RENAMED = {"anatom_site_general": "anatom_site_general_challenge"}


def tells_the_diagnosis(column: str) -> bool:
    """Tell whether a column of this name is known of a lesion only once it has been diagnosed."""
    return any(fnmatchcase(column.lower(), pattern) for pattern in TELLS_THE_DIAGNOSIS)


def chosen_metadata(raw: pd.DataFrame, columns: Columns) -> dict[str, str]:
    """Return the metadata columns of ``raw`` that ``columns`` asks for, with the name each has in the case table.

    Where it asks for every one they are all but ids, labels, sizes and what tells the diagnosis.
    """
    if EVERY not in columns.metadata:
        return {name: name for name in columns.metadata}
    others = {columns.image_name, columns.patient_id, columns.target, columns.fold_group, *NO_METADATA}
    names = [str(name) for name in raw.columns if name not in others and not tells_the_diagnosis(str(name))]
    return {name: name if RENAMED.get(name, name) in names else RENAMED.get(name, name) for name in names}


def asked_metadata(parts: Mapping[str, pd.DataFrame], layout: Layout) -> list[str]:
    """Return the names of the metadata columns in the ``parts`` of a case table: those of the training cases."""
    if EVERY not in layout.columns.metadata:
        return list(layout.columns.metadata)
    return [str(name) for name in parts["train"] if name not in NO_METADATA and not tells_the_diagnosis(str(name))]


def diagnosis_notes(raw: pd.DataFrame, layout: Layout, where: str) -> list[str]:
    """Return a sentence on the columns of ``raw`` that tell the diagnosis, where every column was asked for."""
    telling = [str(name) for name in raw.columns if tells_the_diagnosis(str(name))]
    if EVERY not in layout.columns.metadata or not telling:
        return []
    return [f"{where}: columns that tell the diagnosis, {list_names(telling, 12)}: not features"]


def shared_metadata(parts: Mapping[str, pd.DataFrame], layout: Layout, notes: list[str]) -> dict[str, pd.DataFrame]:
    """Return ``parts`` with no metadata column of train or test that the other lacks, where every one was asked for.

    Such a column is missing wherever a prediction counts, so it is no feature; ``notes`` names it. Other parts, and
    parts of a data folder without test cases, come back as they are.
    """
    if (
        EVERY not in layout.columns.metadata
        or not layout.test
        or not all(len(parts[role]) for role in ("train", "test"))
    ):
        return dict(parts)
    columns = {role: [str(name) for name in parts[role] if name not in NO_METADATA] for role in ("train", "test")}
    kept = dict(parts)
    for role, other in (("train", "test"), ("test", "train")):
        alone = [name for name in columns[role] if name not in columns[other] and not tells_the_diagnosis(name)]
        if alone:
            notes.append(f"only {role} cases have the columns {list_names(alone, 12)}: not features")
        kept[role] = parts[role].drop(columns=alone)
    return kept
