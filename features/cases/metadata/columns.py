"""Choose the metadata columns if the layout requests all of them ("*"): shared, and known before a diagnosis."""

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

import pandas as pd

from features.cases.metadata.columns_like_target import constant_columns, id_columns, target_columns
from features.folder.layout import EVERY, FOLD_BY, LABEL_COLUMNS, Columns, Layout
from features.folder.notes import warning
from runtime.errors import list_names

# Columns of public data sets that are known only after the diagnosis, or only for lesions that have one.
DIAGNOSIS_COLUMNS = (
    *("diagnosis*", "*_diagnosis", "diagnostic", "dx", "dx_*", "iddx_*", "benign_malignant", "malignant", "malignancy"),
    *("is_malignant", "is_melanoma", "ground_truth*", "label", "labels", "class", "class_name", "class_id"),
    *("mel_*", "melanocytic", "nevus_type", "lesion_id", "*biops*", "histo", "histo_*", "histolog*", "histopath*"),
    *("patholog*", "management*", "excised", "excision*", "treatment*", "breslow*", "clark_level", "mitotic*"),
    *(
        "gt",
        "y",
        "diagnose",
        "diagnos[et]ico",
        "class_label",
        "label_id",
        "confirmed_by",
        "confirmation_*",
        "path_report*",
    ),
    *("path_result*", "path_dx", "tumor_stage", "tumour_stage", "melanoma_stage", "cancer_stage", "ajcc*"),
    *("ulceration", "tumor_thickness*", "tumour_thickness*", "t_stage", "tnm*", "sentinel*", "*outcome*"),
)
# The classes of one-hot tables; one of them is the target.
CLASSES = (
    *("mel", "nv", "bcc", "ak", "akiec", "bkl", "df", "vasc", "scc", "sccka", "sk", "unk", "inf", "ben_oth", "mal_oth"),
    *("melanoma", "nevus", "common_nevus", "atypical_nevus", "seborrheic_keratosis", "actinic_keratosis"),
    *("basal_cell_carcinoma", "squamous_cell_carcinoma", "dermatofibroma"),
)
ID_NAME = re.compile(
    r"(?:^|_)(?:patient|pat|subject|case|lesion|image|img|picture|isic|file|study|series|accession|visit)"
    r"_?(?:ids?|uids?|names?|nr|no|num|number)$"
)
NO_METADATA = ("patient_id", "target", "fold_group", FOLD_BY, "picture", "width", "height", "file_bytes", "source")
# Column names of the archive -> names of the same columns in the contest of 2020.
CONTEST_NAMES = {"anatom_site_general": "anatom_site_general_challenge"}
AFTER = "it is known only after the diagnosis: every score is too good, and a new lesion does not have it"
FOLLOWS = "a column that is known only after the diagnosis makes every score too good"
MOST_NAMES = 40  # that a message lists: each column that is left out is named


def reveals_diagnosis(column: str) -> bool:
    """Return whether a column of this name is known only after the lesion was diagnosed."""
    name = _plain_name(column)
    return name in CLASSES or any(fnmatchcase(name, pattern) for pattern in DIAGNOSIS_COLUMNS)


def names_an_id(column: str) -> bool:
    """Return whether a column of this name holds the ids of patients, lesions, pictures or visits."""
    return bool(ID_NAME.search(_plain_name(column)))


def _plain_name(column: str) -> str:
    """Return a name in lower case with one underscore between its words: ``dx_type`` for dxType, DX-Type, Dx.Type."""
    return re.sub(r"[\W_]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column).casefold()).strip("_")


def choose_metadata(raw: pd.DataFrame, columns: Columns) -> dict[str, str]:
    """Return the metadata columns of ``raw`` that ``columns`` requests -> their names in the case table.

    "*" requests all columns except ids, labels, sizes and those that reveal the diagnosis; a column that is named
    beside it is requested too.
    """
    if EVERY not in columns.metadata:
        return {name: name for name in columns.metadata}
    others = {columns.image_name, columns.patient_id, columns.target, columns.fold_group, *NO_METADATA}
    others |= {columns.fold_by} if columns.fold_by else set()
    names = [str(name) for name in raw.columns if name not in others and not reveals_diagnosis(str(name))]
    names += [name for name in columns.metadata if name not in (EVERY, *names)]
    return {name: name if CONTEST_NAMES.get(name, name) in names else CONTEST_NAMES.get(name, name) for name in names}


def requested_metadata(parts: Mapping[str, pd.DataFrame], layout: Layout) -> list[str]:
    """Return the names of the requested metadata columns; "*" requests all of the training cases in ``parts``."""
    if EVERY not in layout.columns.metadata:
        return list(layout.columns.metadata)
    own_choice = _names_in_metadata(layout)
    names = [str(name) for name in parts["train"] if name not in NO_METADATA]
    return [name for name in names if name in own_choice or not reveals_diagnosis(name)]


def diagnosis_notes(raw: pd.DataFrame, layout: Layout, where: str) -> list[str]:
    """Return notes about the columns of ``raw`` that reveal the diagnosis: not used ("*"), or used since named."""
    columns = layout.columns
    names = [str(name) for name in raw.columns if reveals_diagnosis(str(name))]
    features = [name for name in columns.metadata if name in names]
    notes = [
        warning(f"{where}: {name} is used as a feature, since metadata names it, but {AFTER}")
        for name in features
        if where == layout.train
    ]
    roles = (columns.image_name, columns.patient_id, columns.target)
    left_out = [name for name in names if name not in (*features, *roles)]
    if EVERY not in columns.metadata or not left_out:
        return notes
    sentence = f"columns that reveal the diagnosis are not used as features: {list_names(left_out, MOST_NAMES)}"
    remedy = _remedy([name for name in left_out if name not in LABEL_COLUMNS and where == layout.train])
    return [*notes, f"{where}: {sentence}{remedy}"]


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


def leave_out_columns(parts: Mapping[str, pd.DataFrame], layout: Layout, notes: list[str]) -> dict[str, pd.DataFrame]:
    """Return ``parts`` without the columns that follow the target of the training cases or hold ids, if "*" chose them.

    ``notes`` says the reason for each, and warns of a column of this kind that ``metadata`` names: it stays.
    """
    train, own_choice, is_every = parts["train"], _names_in_metadata(layout), EVERY in layout.columns.metadata
    columns = train[[name for name in requested_metadata(parts, layout) if name in train]]
    not_ids = {*own_choice, *Columns().metadata}  # sex, age and site never hold ids, however few the rows are
    others = columns.drop(columns=list(not_ids), errors="ignore")
    ids = {name: "ids by their names" for name in map(str, others) if names_an_id(name)}
    ids = {**ids, **id_columns(others.drop(columns=list(ids)), train["patient_id"])} if is_every else {}
    copies = target_columns(columns.drop(columns=list(ids)), train["target"], train["patient_id"])
    for name in [name for name in copies if name in own_choice and not reveals_diagnosis(name)]:
        reason = f"its values follow the target ({copies[name]}): {FOLLOWS}"
        notes.append(warning(f"{layout.train}: {name} is used as a feature, since metadata names it, but {reason}"))
    copies = {name: reason for name, reason in copies.items() if is_every and name not in own_choice}
    notes += _unused_notes(f"{layout.train}: columns that follow the target", copies)
    notes += _unused_notes(f"{layout.train}: columns of ids or free text", ids)
    if is_every and (constants := constant_columns(columns)):
        notes.append(f"{layout.train}: columns with one value in all rows, which cannot help: {list_names(constants)}")
    return {role: part.drop(columns=[*copies, *ids], errors="ignore") for role, part in parts.items()}


def _unused_notes(what: str, reasons: Mapping[str, str]) -> list[str]:
    """Return a note per reason, with the columns that are not used for it; ``reasons`` is name -> reason."""
    names_of: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        names_of.setdefault(reason, []).append(name)
    return [
        f"{what} are not used as features: {list_names(names, MOST_NAMES)}, {reason}{_remedy(names)}"
        for reason, names in names_of.items()
    ]


def _names_in_metadata(layout: Layout) -> set[str]:
    """Return the names in the case table of the columns that ``metadata`` names."""
    names = [name for name in layout.columns.metadata if name != EVERY]
    return {*names, *(CONTEST_NAMES.get(name, name) for name in names)}


def _remedy(names: Iterable[str]) -> str:
    """Return how to use a column all the same; empty without ``names``."""
    name = next(iter(names), None)
    return f'; to use one all the same, name it: metadata = ["*", "{name}"]' if name else ""
