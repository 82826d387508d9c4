"""TFRecord files -> a table with one row per record, and from it the rows of a case table where there is no CSV.

Kaggle's records of the contest and of the external sets carry sex, site and diagnosis as codes without a key, and
the patient as a number; those of others may carry them as text.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from features.csv_rows import LABEL_COLUMNS
from features.faults import Faults, InputFault, named
from features.pictures import record_header
from features.tables import INDEX
from features.tfrecords import Value, iterate_records, parse_example

COUNT = re.compile(r"\D*(\d+)-(\d+)")  # train00-2071: number of the file, and of its records
CODED = ("sex", "anatom_site_general_challenge", *LABEL_COLUMNS)
MANY_BYTES = 64 << 20  # from here on processes are worth their start

Row = dict[str, Any]


def index_records(files: Sequence[Path], where: str, faults: Faults) -> pd.DataFrame:
    """Return one row per record: index image_name; its place and file's number, width, height, file_bytes, features.

    ``sized`` tells whether width and height are the original's, as the record remembers them, or the stored
    picture's. A file that is cut off or holds other records than its name says, and a record without image or
    image_name, go to ``faults``.
    """
    jobs = -1 if sum(path.stat().st_size for path in files) > MANY_BYTES else 1
    indexed = Parallel(n_jobs=jobs)(delayed(_index_file)(path) for path in files)
    wrong = [fault for _, fault in indexed if fault]
    if wrong:
        faults.add(f"{where}: unreadable TFRecord files: {len(wrong)}; the first: {wrong[0]}")
    rows = [row for rows, _ in indexed for row in rows]
    columns = [INDEX, "picture", "file_number", "width", "height", "file_bytes", "sized"]
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)
    return table.set_index(INDEX)


def rows_of_records(table: pd.DataFrame, role: str, where: str, faults: Faults, notes: list[str]) -> pd.DataFrame:
    """Return case rows made of records alone: patient_id, target (not of test), labels, metadata, fold_group.

    A patient who is a number is called ``<where>:<number>``, since every set counts its patients anew. -1 is Kaggle's
    mark for what is not known. Codes without a key are left out, which ``notes`` is told.
    """
    part = pd.DataFrame(index=table.index)
    part["patient_id"] = _patients(table, where)
    part["age_approx"] = _known(table, "age_approx")
    if role != "test":
        part["target"] = _targets(table, where, faults)
        part["fold_group"] = table["file_number"]
    for name in CODED if role != "test" else CODED[:2]:
        part[name] = _texts(table, name)
    codes = [name for name in part if name in CODED and _numbers(table, str(name)).notna().any()]
    if codes:
        notes.append(f"{where}: {', '.join(codes)} are codes without a key in these records; left missing")
    return part


def _index_file(path: Path) -> tuple[list[Row], str | None]:
    rows: list[Row] = []
    found = COUNT.match(path.stem)
    number = int(found[1]) if found else 0
    try:
        for offset, content in iterate_records(path):
            rows.append(_row(content, f"{path}@{offset}") | {"file_number": number})
    except InputFault as fault:
        return rows, str(fault)
    if found and int(found[2]) != len(rows):
        return rows, f"{path}: {int(found[2])} records by its name, {len(rows)} found"
    return rows, None


def _row(content: bytes, where: str) -> Row:
    try:
        features = parse_example(content)
        header = record_header(features)
        name = features.get(INDEX)
        if not isinstance(name, bytes) or not name:
            raise InputFault(f"the record has no {INDEX}; it has {', '.join(sorted(features))}")
    except InputFault as fault:
        raise InputFault(f"{where}: {fault}") from fault
    size = (features.pop("width", None), features.pop("height", None))
    place = {INDEX: name.decode(errors="replace"), "picture": where, "sized": size == (header.width, header.height)}
    others = {key: _plain(value) for key, value in features.items() if key not in ("image", INDEX)}
    return others | place | {"width": header.width, "height": header.height, "file_bytes": header.file_bytes}


def _plain(value: Value) -> str | int | float | None:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, int | float) else None


def _column(table: pd.DataFrame, name: str) -> pd.Series:
    return table.get(name, pd.Series(None, index=table.index, dtype=object))


def _numbers(table: pd.DataFrame, name: str) -> pd.Series:
    """Return a feature where it is a number, else NaN; text that looks like a number is text."""
    values = [value if isinstance(value, int | float) else np.nan for value in _column(table, name).tolist()]
    return pd.Series(values, index=table.index, dtype=float)


def _known(table: pd.DataFrame, name: str) -> pd.Series:
    numbers = _numbers(table, name)
    return numbers.where(numbers >= 0)


def _texts(table: pd.DataFrame, name: str) -> pd.Series:
    values = [value if isinstance(value, str) and value not in ("", "nan") else None for value in _column(table, name)]
    return pd.Series(values, index=table.index, dtype=object)


def _patients(table: pd.DataFrame, where: str) -> pd.Series:
    """Return the patient of every record, a text or a number; a case without one is a patient of its own."""
    numbers = _known(table, "patient_id")
    coded = numbers.map(lambda number: None if np.isnan(number) else f"{where}:{int(number)}").astype(object)
    patients = _texts(table, "patient_id")
    patients = patients.where(patients.notna(), coded)
    return patients.where(patients.notna(), table.index.to_series())


def _targets(table: pd.DataFrame, where: str, faults: Faults) -> pd.Series:
    targets = _numbers(table, "target")
    bad = table.index[~targets.isin((0.0, 1.0))]
    if len(bad):
        faults.add(f"{where}: target must be 0 or 1; it is not in {named(bad)}")
    return targets
