"""Divide the training cases into folds as the request says, and the external cases of their patients with them."""

import pandas as pd

from features.cases.fold_design.by_patient import assign_folds, check_patient_counts, official_folds
from features.cases.fold_design.by_time import folds_by_time
from features.cases.fold_design.by_value import NamedFolds, check_values, folds_by_value
from features.cases.tied_patients import group_tied_patients, tied_case_groups
from features.folder.data_folder import DataFolder
from features.folder.layout import FOLD_BY, Request
from features.folder.notes import warning
from features.folder.picture_locations import EXTRA
from runtime.errors import InputFault
from runtime.plural import number_of


def check_division(train: pd.DataFrame, request: Request) -> None:
    """Raise InputFault if the training cases cannot be divided, before their pictures are compared."""
    if request.fold_column:
        if request.by and FOLD_BY in train:
            check_values(train[FOLD_BY].rename(request.by), train["patient_id"])
        _named_folds(train, train["patient_id"], train["target"], request)
    elif not request.official:
        check_patient_counts(train["patient_id"], train["target"], request.folds)


def divide(
    cases: pd.DataFrame, train: pd.DataFrame, request: Request, pairs: pd.DataFrame | None, data: DataFolder
) -> pd.DataFrame:
    """Return the cases with their folds (int8; -1 outside train); no patient spans two folds.

    ``train`` are the rows of the training cases as they are read. ``pairs`` (first, second) are pictures of the same
    lesion, whose patients share a fold unless folds are official; None if pictures are not compared. ``data`` collects
    notes and the names of folds that are made by a column.
    """
    rows = cases[cases["role"] == "train"]
    if request.official:
        return _with_external(cases, rows, _official(train, rows, request))
    patients, ties = (rows["patient_id"], "") if pairs is None else _group_patients(rows, pairs)
    data.notes.extend([ties] if ties else [])
    if not request.fold_column:
        if ties:
            check_patient_counts(patients, rows["target"], request.folds, f"; {ties}")
        folds = assign_folds(patients, rows["target"], count=request.folds, seed=request.seed)
        return _with_external(cases, rows, folds)
    division = _named_folds(train, patients, rows["target"], request)
    data.fold_names.extend(division.names)
    data.notes.extend([*division.notes, *_feature_notes(rows, request)])
    return _with_external(cases, rows, division.fold)


def _official(train: pd.DataFrame, rows: pd.DataFrame, request: Request) -> pd.Series:
    if "fold_group" not in train:
        raise InputFault(f"{request.data}: official folds need a column with the official groups; no table has it")
    groups = train["fold_group"]
    return official_folds(groups, rows["patient_id"], rows["target"], count=request.folds, seed=request.seed)


def _named_folds(train: pd.DataFrame, patients: pd.Series, target: pd.Series, request: Request) -> NamedFolds:
    if FOLD_BY not in train:
        name = "folds_by" if request.by else "folds_by_time"
        raise InputFault(f"{request.data}: {name} = {request.fold_column!r} needs a table with this column")
    values = train[FOLD_BY].reindex(target.index).rename(request.fold_column)
    patients = patients.reindex(target.index)
    if request.by_time:
        return folds_by_time(values, patients, target, count=request.folds)
    return folds_by_value(values, patients, target, count=request.folds, seed=request.seed)


def _feature_notes(rows: pd.DataFrame, request: Request) -> list[str]:
    """Say whether the column that makes the folds is also a feature."""
    column = request.fold_column
    if column not in rows:
        return [f"{column} makes the folds and is not used as a feature"]
    return [
        warning(
            f"{column} makes the folds and is a feature too, since metadata names it: the models of a fold have not "
            "seen the values that they predict for; leave it out of metadata to keep it out of the features"
        )
    ]


def _group_patients(train: pd.DataFrame, pairs: pd.DataFrame) -> tuple[pd.Series, str]:
    """Return the patient of every training case, tied patients under one name, and a sentence on them ("": none)."""
    groups, patients = tied_case_groups(train, pairs), group_tied_patients(train["patient_id"], pairs)
    if not groups:
        return patients, ""
    count = train.loc[[name for group in groups for name in group], "patient_id"].nunique()
    reason = "share a fold because they have pictures of the same lesion"
    return patients, f"{count} patients in {number_of(len(groups), 'group')} {reason}"


def _with_external(cases: pd.DataFrame, rows: pd.DataFrame, folds: pd.Series) -> pd.DataFrame:
    """Return the cases with their folds; the external cases of a training patient have that patient's fold."""
    all_folds, external = folds.reindex(cases.index, fill_value=-1), cases["role"] == EXTRA
    if external.any():  # so that the networks that predict the patient do not see them
        fold_of = folds.groupby(rows["patient_id"]).first()
        all_folds[external] = cases.loc[external, "patient_id"].map(fold_of).fillna(-1).to_numpy()
    return cases.assign(fold=all_folds.astype("int8"))
