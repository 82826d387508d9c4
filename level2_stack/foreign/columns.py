"""Find the ids and the scores in a foreign network's file by the names and values of its columns."""

import re
from pathlib import Path

import pandas as pd

from features.folder.table_file import read_user_table
from level2_stack.foreign.checks import Findings
from runtime.errors import InputFault, list_names

IDS = ("image_name", "image_id", "image", "isic_id", "id", "filename")
DIAGNOSIS = "target"  # a submission file names its score target; in oof.csv that may be the diagnosis
SCORES = (DIAGNOSIS, "pred", "prediction", "preds", "oof", "oof_pred", "probability")
FILES = ("oof.csv", "test.csv")  # of a network, in its folder
FILE_ENDING = re.compile(r"\.(jpe?g|png|dcm|dicom)$", re.IGNORECASE)


def read_file(path: Path, cases: pd.DataFrame, findings: Findings) -> pd.DataFrame | None:
    """Read a CSV file: columns in lower case, index image_name (str). Return None, with a fault, if it is unusable.

    ``cases`` (index image_name) says which ids exist: an id in the file may have a folder and a file ending besides.
    """
    frame = read_columns(path, findings)
    return None if frame is None else _with_ids(frame, cases.index, path.name, findings)


def read_columns(path: Path, findings: Findings) -> pd.DataFrame | None:
    """Read a CSV file with its columns in lower case; return None, with a fault, if it is missing or unreadable."""
    if not path.is_file():
        others = sorted(other.name for other in path.parent.glob("*.csv") if other.name not in FILES)
        hint = f"; found {', '.join(others)}: rename the file that holds these predictions" if others else ""
        findings.faults.append(f"{path.name} is missing{hint}")
        return None
    try:
        frame = read_user_table(path, *IDS, optional=SCORES, notes=findings.notes, exact=True)
    except InputFault as fault:
        findings.faults.append(str(fault).replace(str(path), path.name))
        return None
    frame.columns = pd.Index([str(name).strip().lower() for name in frame.columns])
    repeats = frame.columns[frame.columns.duplicated()].unique()
    if len(repeats):
        findings.faults.append(f"{path.name}: repeated columns: {', '.join(repeats)}; found {', '.join(frame.columns)}")
        return None
    return frame


def _with_ids(frame: pd.DataFrame, case_ids: pd.Index, where: str, findings: Findings) -> pd.DataFrame | None:
    """Return ``frame`` indexed by its ids; None, with a fault, if no column or more than one can hold them."""
    columns = {name: _ids(frame[name], case_ids) for name in IDS if name in frame}
    with_cases = {name: ids for name, ids in columns.items() if ids.isin(case_ids).any()} or columns
    if not columns:
        findings.faults.append(
            f"{where}: no column of ids; expected one of {', '.join(IDS)}; found {', '.join(frame.columns)}"
        )
        return None
    name, ids = next(iter(with_cases.items()))
    others = [other for other, values in with_cases.items() if not values.equals(ids)]
    if others:
        findings.faults.append(
            f"{where}: several columns hold ids, and not the same ones ({', '.join([name, *others])}); keep one of them"
        )
        return None
    if ids.isna().any():
        findings.faults.append(f"{where}: rows without image_name: {int(ids.isna().sum())}")
    changes = frame.loc[ids.notna() & (ids != frame[name]), name]
    if len(changes):
        first = f"{changes.iloc[0]!r} is read as {ids[changes.index[0]]!r}"
        findings.notes.append(f"{where}: ids with a folder or a file ending: {len(changes)}; {first}")
    frame = frame.drop(columns=list(columns)).assign(image_name=ids)[ids.notna()]
    return frame.astype({"image_name": str}).set_index("image_name")


def _ids(column: pd.Series, case_ids: pd.Index) -> pd.Series:
    """Return the ids in ``column``; one that no case has loses its folder and file ending if a case is then meant."""
    unknown = column[column.notna() & ~column.isin(case_ids)]
    ids = column.astype(object)
    ids[unknown.index] = [_id_of_case(str(text), case_ids) for text in unknown]
    return ids


def _id_of_case(text: str, case_ids: pd.Index) -> str:
    path = text.strip().replace("\\", "/")
    file = path.rsplit("/", 1)[-1]
    readings = (path, file, FILE_ENDING.sub("", path), FILE_ENDING.sub("", file))
    return next((reading for reading in readings if reading in case_ids), text)


def score_column(frame: pd.DataFrame, role: str, cases: pd.DataFrame, where: str, findings: Findings) -> str | None:
    """Return the column of ``frame`` that holds the scores of ``role``; None, with a fault, if none or several can.

    In oof.csv, ``target`` is the score if it has other values than 0 and 1. If its values are those of the case table
    (column target of ``cases``), it is the diagnosis.
    """
    matches, problem = [name for name in SCORES if name in frame], ""
    if role == "train" and DIAGNOSIS in matches and _is_binary(frame[DIAGNOSIS]):
        differing = _differing_targets(frame[DIAGNOSIS], cases)
        if differing.empty or len(matches) == 1:
            matches.remove(DIAGNOSIS)
            problem = f": {DIAGNOSIS!r}, which is 0 or 1, is the diagnosis; name the score column 'pred'"
        else:
            problem = f"; {DIAGNOSIS!r} is 0 or 1, but not the case table's target in rows {list_names(differing)}"
    if len(matches) == 1:
        return matches[0]
    several = f"several columns could be the score: {', '.join(matches)}; keep one of them"
    columns = f"expected one of {', '.join(SCORES)}; found image_name, {', '.join(frame.columns)}"
    findings.faults.append(f"{where}: {several if matches else 'no score column'}{problem}; {columns}")
    return None


def _is_binary(column: pd.Series) -> bool:
    return bool(pd.to_numeric(column.dropna(), errors="coerce").isin([0, 1]).all())


def _differing_targets(column: pd.Series, cases: pd.DataFrame) -> pd.Index:
    """Return the ids of train cases whose value in ``column`` is not their target."""
    values = pd.to_numeric(column, errors="coerce")
    targets = cases["target"].where(cases["role"] == "train").reindex(values.index)
    return values.index[targets.notna() & (values != targets)]
