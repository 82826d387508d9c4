"""Patient, age and sex from DICOM files, where a table has no such column or value."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import delayed

from features.pictures.suffixes import FIRST_BYTES, KIND_OF_SUFFIX, is_dicom
from runtime.errors import InputFault
from runtime.machine.pool import open_threads
from runtime.plural import number_of

AGE = re.compile(r"(\d{1,3})\s*([YMWD])", re.IGNORECASE)  # 045Y, 006M
YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
SEXES = {"M": "male", "F": "female"}
TAGS = {"patient": "PatientID", "age": "PatientAge", "sex": "PatientSex"}
AGE_COLUMNS, SEX_COLUMNS = ("age_approx", "age"), ("sex", "gender")

Values = dict[str, object]  # patient, age, sex -> value


def dicom_columns(id_name: str, patient: str, metadata: Sequence[str]) -> dict[str, str]:
    """Return patient, age and sex -> the requested column for it, without those that no column is for."""
    ages = [name for name in metadata if name in AGE_COLUMNS]
    sexes = [name for name in metadata if name in SEX_COLUMNS]
    requests = {"patient": [patient] if patient != id_name else [], "age": ages, "sex": sexes}
    return {kind: names[0] for kind, names in requests.items() if names}


def fill_from_dicom(
    table: pd.DataFrame, files: Mapping[str, Path], id_name: str, columns: Mapping[str, str], notes: list[str]
) -> pd.DataFrame:
    """Return ``table`` with patient, age and sex of its DICOM files where it has no column or value for them.

    ``files``: image_name -> path. ``columns``: patient, age or sex -> the table's column for it, of those that are
    requested. ``notes`` collects one sentence with the counts.
    """
    lacking = {kind: _missing(table, name) for kind, name in columns.items()}
    rows = np.logical_or.reduce([*lacking.values(), np.zeros(len(table), dtype=bool)])
    names = [str(name) for name in table[id_name][rows] if name in files]
    tags = _tags_of({name: files[name] for name in names if _may_be_dicom(files[name])})
    if not tags:
        return table
    counts = dict[str, int]()
    for kind, column in columns.items():
        values = table[id_name].map({name: value[kind] for name, value in tags.items() if kind in value})
        use = lacking[kind] & values.notna().to_numpy()
        if use.any():
            table = table.assign(**{column: _with_values(table, column, values, use)})
            counts[f"{column} from {TAGS[kind]}"] = int(use.sum())
    texts = [f"{text} in {number_of(count, 'case')}" for text, count in counts.items()]
    notes += [f"read from the DICOM files where the table has no value: {', '.join(texts)}"] if texts else []
    return table


def _missing(table: pd.DataFrame, column: str) -> np.ndarray:
    return table[column].isna().to_numpy() if column in table else np.ones(len(table), dtype=bool)


def _with_values(table: pd.DataFrame, column: str, values: pd.Series, use: np.ndarray) -> pd.Series:
    """Return the column with ``values`` where ``use`` says so, as text if the column holds text."""
    if column not in table:
        return values.where(use)
    old = table[column]
    if pd.api.types.is_numeric_dtype(old) and old.notna().any():
        return old.mask(use, pd.to_numeric(values, errors="coerce"))
    texts = values.map(str, na_action="ignore") if old.notna().any() else values
    return old.astype(object).mask(use, texts).infer_objects()


def _may_be_dicom(path: Path) -> bool:
    kind = KIND_OF_SUFFIX.get(path.suffix.lower())
    return kind == "DICOM" or (kind is None and path.is_file())


def _tags_of(files: Mapping[str, Path]) -> dict[str, Values]:
    answers = open_threads(len(files))(delayed(_values)(path) for path in files.values())
    return {name: values for name, values in zip(files, answers, strict=True) if values}


def _tags(path: Path) -> dict[str, str] | None:
    """Return tag -> its text; None if the file is not a DICOM. Raises OSError and InputFault."""
    from features.pictures.dicom import dicom_tags  # slow to import; most folders have no DICOM

    with path.open("rb") as file:
        if not is_dicom(file.read(FIRST_BYTES)):
            return None
        file.seek(0)
        return dicom_tags(file, TAGS.values())


def _values(path: Path) -> Values:
    """Return what the tags of a DICOM say; {} for another file, which ``attach_pictures`` reports if it is damaged."""
    try:
        tags = _tags(path)
    except (OSError, InputFault):
        tags = None
    if tags is None:
        return {}
    age = AGE.fullmatch(tags["PatientAge"])
    years = round(int(age[1]) * YEARS[age[2].upper()], 2) if age else None
    values = {"patient": tags["PatientID"] or None, "age": years, "sex": SEXES.get(tags["PatientSex"].upper())}
    return {kind: value for kind, value in values.items() if value is not None}
