"""TFRecord files -> a table with one row per record, and from it the rows of a case table where there is no CSV.

Kaggle's records of the contest and of the external sets carry sex, site and diagnosis as codes without a key, and
the patient as a number; those of others may carry them as text.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from features.cases.metadata_values import repaired
from features.cases.names import name_fault
from features.folder.layout import LABEL_COLUMNS
from features.pictures.read import record_header
from features.pictures.tfrecord import Value, iterate_records, parse_example
from runtime.errors import Faults, InputFault, list_names
from runtime.tables import INDEX

COUNT = re.compile(r"\D*(\d+)-(\d+)")  # train00-2071: number of the file, and of its records
CODED = ("sex", "anatom_site_general_challenge", *LABEL_COLUMNS)
MOST_FAULTS = 3  # that are quoted
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
    wrong = [fault for _, found in indexed for fault in found]
    if wrong:
        spoilt = sum(bool(found) for _, found in indexed)
        first = "; ".join(wrong[:MOST_FAULTS])
        faults.add(f"{where}: {spoilt} unreadable TFRecord file(s), {len(wrong)} fault(s); the first: {first}")
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
    part["age_approx"] = repaired(_known(table, "age_approx"), "age_approx", where, faults, notes)
    if role != "test":
        part["target"] = _targets(table, where, faults)
        part["fold_group"] = table["file_number"]
    for name in CODED if role != "test" else CODED[:2]:
        part[name] = repaired(_texts(table, name), name, where, faults, notes)
    codes = [name for name in part if name in CODED and _numbers(table, str(name)).notna().any()]
    if codes:
        notes.append(f"{where}: {', '.join(codes)} are codes without a key in these records; left missing")
    return part


def _index_file(path: Path) -> tuple[list[Row], list[str]]:
    """Return the rows of a file's sound records, and what is wrong with the others and with the file."""
    rows, faults = list[Row](), list[str]()
    found = COUNT.match(path.stem)
    number = int(found[1]) if found else 0
    try:
        for offset, content in iterate_records(path):
            row = _row_or_fault(content, f"{path}@{offset}")
            faults.append(row) if isinstance(row, str) else rows.append(row | {"file_number": number})
    except InputFault as fault:  # what follows the damage cannot be found
        return rows, [*faults, str(fault)]
    if found and int(found[2]) != len(rows) + len(faults):
        faults.append(f"{path}: {int(found[2])} records by its name, {len(rows) + len(faults)} found")
    if not rows and not faults:
        faults.append(f"{path}: an empty file")
    return rows, faults


def _row_or_fault(content: bytes, where: str) -> Row | str:
    try:
        return _row(content, where)
    except InputFault as fault:
        return f"{where}: {fault}"


def _row(content: bytes, where: str) -> Row:
    features = parse_example(content)
    header, name = record_header(features), _name(features)
    size = (features.pop("width", None), features.pop("height", None))
    place = {INDEX: name, "picture": where, "sized": size == (header.width, header.height)}
    others = {key: _plain(value) for key, value in features.items() if key not in ("image", INDEX)}
    return others | place | {"width": header.width, "height": header.height, "file_bytes": header.file_bytes}


def _name(features: Mapping[str, Value]) -> str:
    """Return the record's image_name; raise InputFault where there is none that can be a name."""
    name = features.get(INDEX)
    if not isinstance(name, bytes) or not name:
        if INDEX in features:
            raise InputFault(f"the record's {INDEX} is {name!r}; bytes of a name are expected")
        raise InputFault(f"the record has no {INDEX}; it has {', '.join(sorted(features))}")
    try:
        text = name.decode()
    except UnicodeDecodeError as error:
        raise InputFault(f"the record's {INDEX} {name!r} is not UTF-8") from error
    if fault := name_fault(text.strip(), paths=False):
        raise InputFault(f"an {INDEX} {fault}: {text!r}")
    return text


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
        faults.add(f"{where}: target must be 0 or 1; it is not in {list_names(bad)}")
    return targets
