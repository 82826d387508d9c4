"""Index TFRecord files: a table with one row per record, and from it the rows of a case table without a CSV.

Kaggle's records of the contest and of the external sets hold sex, site and diagnosis as codes without a key, and the
patient as a number; other records may hold them as text.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import delayed

from features.cases.metadata_values import repair_values
from features.cases.names import name_fault
from features.cases.targets import read_targets
from features.folder.layout import LABEL_COLUMNS, Columns, Layout
from features.folder.notes import warning
from features.pictures.read import record_header
from features.pictures.record_features import feature_names, unknown_features
from features.pictures.tfrecord import Value, iterate_records, parse_example
from runtime.errors import Faults, InputFault, list_names
from runtime.machine.pool import open_pool
from runtime.plural import number_of
from runtime.tables import INDEX

COUNT = re.compile(r"\D*(\d+)-(\d+)")  # train00-2071: file 0 with 2071 records
CODE_COLUMNS = ("sex", "anatom_site_general_challenge", *LABEL_COLUMNS)
MOST_SHOWN = 3  # faults that a message quotes
MANY_BYTES = 64 << 20  # from this size on, several processes save more time than their start takes

Row = dict[str, Any]


def index_records(files: Sequence[Path], where: str, faults: Faults, columns: Columns | None = None) -> pd.DataFrame:
    """Return one row per record, index image_name: picture, file_number, width, height, file_bytes and the features.

    ``columns`` names the features of the image, image_name, target and patient. ``has_original_size``: width and
    height are the original picture's, stored in the record, and not those of the reduced picture. ``faults`` collects
    cut off files, files with another number of records than their name says, and records without image or image_name.
    """
    jobs = None if sum(path.stat().st_size for path in files) > MANY_BYTES else 1
    names = feature_names(columns or Columns())
    if unknown := _faults_of_features(files, names):
        faults.add(f"{where}: {unknown}")
        files = ()
    contents = open_pool(jobs)(delayed(_index_file)(path, names) for path in files)
    all_faults = [fault for _, file_faults in contents for fault in file_faults]
    if all_faults:
        unreadable = sum(bool(file_faults) for _, file_faults in contents)
        first = "; ".join(all_faults[:MOST_SHOWN])
        damage = number_of(unreadable, "damaged TFRecord file")
        faults.add(f"{where}: {damage} with {number_of(len(all_faults), 'fault')}; the first: {first}")
    rows = [row for rows, _ in contents for row in rows]
    empty = [INDEX, "picture", "file_number", "width", "height", "file_bytes", "has_original_size"]
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=empty)
    return table.set_index(INDEX)


def rows_of_records(
    table: pd.DataFrame, role: str, where: str, faults: Faults, notes: list[str], layout: Layout | None = None
) -> pd.DataFrame:
    """Return case rows from records alone: patient_id, metadata; for train and extra also target, labels, fold_group.

    With ``positive`` in the ``layout``, targets are words, as in a CSV; otherwise they are 0 or 1.

    A numeric patient becomes ``<where>:<number>``, because every data set numbers its patients separately. Kaggle
    writes -1 for a missing value. Codes without a key are left missing, with a note.
    """
    part = pd.DataFrame(index=table.index)
    part["patient_id"] = _patients(table, where)
    part["age_approx"] = repair_values(_non_negative(table, "age_approx"), "age_approx", where, faults, notes)
    if role == "train" and "patient_id" not in table:
        text = "every picture is a patient of its own; those of one person may be in several folds"
        notes.append(warning(f"{where}: the records have no patient_id: {text}"))
    if role != "test":
        targets = _targets(table, layout, where, faults, notes)
        part, table = part.loc[targets.index].assign(target=targets), table.loc[targets.index]
        part["fold_group"] = table["file_number"]
    for name in CODE_COLUMNS if role != "test" else CODE_COLUMNS[:2]:
        part[name] = repair_values(_texts(table, name), name, where, faults, notes)
    codes = [name for name in part if name in CODE_COLUMNS and _numbers(table, str(name)).notna().any()]
    if codes:
        notes.append(
            f"{where}: {', '.join(codes)} are codes without a key in these records; their values are treated as missing"
        )
    return part


def _faults_of_features(files: Sequence[Path], names: Mapping[str, str]) -> str:
    """Return what the first record lacks, with the mapping that would name it; '' if it has an image and a name."""
    try:
        first = next((content for path in files for _, content in iterate_records(path)), None)
        return unknown_features(parse_example(first), names) if first is not None else ""
    except InputFault:  # the file is indexed next, which reports its faults
        return ""


def _index_file(path: Path, names: Mapping[str, str]) -> tuple[list[Row], list[str]]:
    """Return the rows of a file's valid records, and the faults of the other records and of the file."""
    rows, faults = list[Row](), list[str]()
    counts = COUNT.match(path.stem)
    number = int(counts[1]) if counts else 0
    try:
        for offset, content in iterate_records(path):
            row = _row_or_fault(content, f"{path}@{offset}", names)
            faults.append(row) if isinstance(row, str) else rows.append(row | {"file_number": number})
    except InputFault as fault:  # records after a damaged one cannot be located
        return rows, [*faults, str(fault)]
    if counts and int(counts[2]) != len(rows) + len(faults):
        faults.append(f"{path}: its name says {int(counts[2])} records, found {len(rows) + len(faults)}")
    if not rows and not faults:
        faults.append(f"{path}: the file is empty")
    return rows, faults


def _row_or_fault(content: bytes, where: str, names: Mapping[str, str]) -> Row | str:
    try:
        return _row(content, where, names)
    except InputFault as fault:
        return f"{where}: {fault}"


def _row(content: bytes, where: str, names: Mapping[str, str]) -> Row:
    features = {names.get(name, name): value for name, value in parse_example(content).items()}
    header, name = record_header(features), _name(features)
    size = (features.pop("width", None), features.pop("height", None))
    identity = {INDEX: name, "picture": where, "has_original_size": size == (header.width, header.height)}
    others = {key: _plain(value) for key, value in features.items() if key not in ("image", INDEX)}
    return others | identity | {"width": header.width, "height": header.height, "file_bytes": header.file_bytes}


def _name(features: Mapping[str, Value]) -> str:
    """Return the record's image_name; raise InputFault if it is missing or invalid."""
    name = features.get(INDEX)
    if not isinstance(name, bytes) or not name:
        if INDEX in features:
            raise InputFault(f"the record's {INDEX} must be bytes; found {name!r}")
        raise InputFault(f"the record has no {INDEX}; its features are {', '.join(sorted(features))}")
    try:
        text = name.decode()
    except UnicodeDecodeError as error:
        raise InputFault(f"the record's {INDEX} must be UTF-8; found {name!r}") from error
    if fault := name_fault(text.strip(), paths=False):
        raise InputFault(f"the record's {INDEX} {fault}; found {text!r}")
    return text


def _plain(value: Value) -> str | int | float | None:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, int | float) else None


def _column(table: pd.DataFrame, name: str) -> pd.Series:
    return table.get(name, pd.Series(None, index=table.index, dtype=object))


def _numbers(table: pd.DataFrame, name: str) -> pd.Series:
    """Return the numbers of a feature, NaN for other values; digits stored as text are not numbers."""
    values = [value if isinstance(value, int | float) else np.nan for value in _column(table, name).tolist()]
    return pd.Series(values, index=table.index, dtype=float)


def _non_negative(table: pd.DataFrame, name: str) -> pd.Series:
    numbers = _numbers(table, name)
    return numbers.where(numbers >= 0)


def _texts(table: pd.DataFrame, name: str) -> pd.Series:
    values = [value if isinstance(value, str) and value not in ("", "nan") else None for value in _column(table, name)]
    return pd.Series(values, index=table.index, dtype=object)


def _patients(table: pd.DataFrame, where: str) -> pd.Series:
    """Return the patient of every record, from text or a number; None without one."""
    numbers = _non_negative(table, "patient_id")
    from_numbers = numbers.map(lambda number: None if np.isnan(number) else f"{where}:{int(number)}").astype(object)
    patients = _texts(table, "patient_id")
    return patients.where(patients.notna(), from_numbers)


def _targets(table: pd.DataFrame, layout: Layout | None, where: str, faults: Faults, notes: list[str]) -> pd.Series:
    if layout is not None and layout.positive:
        numbers = _numbers(table, "target").map("{:g}".format).where(_numbers(table, "target").notna())
        words = _texts(table, "target").fillna(numbers)
        raw = pd.DataFrame({layout.columns.image_name: table.index, layout.columns.target: words}, index=table.index)
        return read_targets(raw, layout, where, faults, notes)
    targets = _numbers(table, "target")
    bad = table.index[~targets.isin((0.0, 1.0))]
    if len(bad):
        faults.add(f"{where}: target must be 0 or 1; it has another value in {list_names(bad)}")
    ones, zeros = (int((targets == number).sum()) for number in (1, 0))
    notes.append(f"{where}: target: counted as 1: {ones}; as 0: {zeros}")
    return targets
