"""A table in Parquet files, local or remote, that need not fit into memory: its columns, labels and faults."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.blocks import LABELS
from features.cases.patients import patient_keys
from level2_stack.design.assemble import safe_name
from runtime.errors import Faults, InputFault, list_names
from runtime.plural import number_of
from runtime.provenance import LARGE_BYTES, digest

KEYS = ("image_name", "patient_id", "fold", "target")
IDS, NUMBERS = KEYS[:2], KEYS[2:]
NUMBER, TEXT = "a number", "text"
INDEX = "__index_level_"  # start of the column name that pandas gives to an index without a name
FEWEST_FOLDS = 3
MOST_FOLDS = 127  # a case table's folds are int8
FOOTER = 8  # bytes at the end of a Parquet file: the length of its metadata, and the magic number


@dataclass(frozen=True)
class StoredTable:
    """A table: its folder, the URLs of its files, ``kinds`` of its features (NUMBER or TEXT), and ``labels``.

    ``labels`` has the ids, fold, target and number of the file of every row.
    """

    folder: str
    files: tuple[str, ...]
    kinds: Mapping[str, str]
    labels: pd.DataFrame

    @property
    def folds(self) -> list[int]:
        """Return the sorted numbers of the folds."""
        train = self.labels.loc[self.labels["target"].notna(), "fold"]
        return sorted(map(int, train.unique()))

    def files_without(self, fold: int) -> list[str]:
        """Return the files that have train rows outside ``fold``."""
        outside = self.labels["target"].notna() & (self.labels["fold"] != fold)
        return [self.files[number] for number in sorted(self.labels.loc[outside, "file"].unique())]


def open_table(folder: str) -> StoredTable:
    """Open the table of all ``*.parquet`` in ``folder``, a path or a URL of a file system that fsspec supports.

    Only the names and kinds of features are read, not their values. Raises InputFault that lists every file with other
    columns than the first, every column that cannot be a feature, and all faults of ids, patients, folds and targets.
    """
    files, faults, kinds = _files_in(folder), Faults(), dict[str, dict[str, str]]()
    for url in files:
        try:
            kinds[url] = _kinds(url)
        except (OSError, pa.ArrowException) as error:
            faults.add(f"{file_name(url)}: not a readable Parquet file ({error})")
    first = next(iter(kinds.values()), {})
    for fault in [*_faults_of_columns(first), *_differences(kinds)]:
        faults.add(fault)
    labels = _labels(files, [url for url, columns in kinds.items() if set(KEYS) <= columns.keys()], faults)
    faults.raise_if_any(folder)
    return StoredTable(folder, files, {name: kind for name, kind in first.items() if name not in KEYS}, labels)


def file_name(url: str) -> str:
    """Return the name of a file, without its folder."""
    return url.rsplit("/", 1)[-1]


def read_rows(url: str, columns: Sequence[str]) -> pa.Table:
    """Return the ``columns`` of all rows of the file at ``url``."""
    with fsspec.open(url, "rb") as stream:
        return pq.read_table(stream, columns=list(columns))


def numeric_column(rows: pa.Table, column: str) -> NDArray[np.float64]:
    """Return a column as float64 (rows,), NaN for missing values; raise pyarrow.ArrowException if it is not numeric."""
    return np.asarray(rows[column].cast(pa.float64()).to_numpy(), np.float64)


def digests(files: Sequence[str]) -> dict[str, str]:
    """Return name -> digest of every file: of all bytes of a small file, of the size and the footer of a large file.

    The footer of a Parquet file has the size, and usually the smallest and largest value, of every piece of a column.
    """
    return {file_name(url): _digest(url) for url in files}


def _digest(url: str) -> str:
    with fsspec.open(url, "rb") as stream:
        stream.seek(0, 2)
        size = stream.tell()
        stream.seek(max(0, size - FOOTER))
        length = int.from_bytes(stream.read(4), "little")
        stream.seek(0 if size <= LARGE_BYTES else max(0, size - FOOTER - length))
        return digest([size, stream.read().hex()])


def _files_in(folder: str) -> tuple[str, ...]:
    """Return the URLs of the Parquet files in ``folder``; raise InputFault if it has none or does not exist."""
    try:
        system, root = fsspec.url_to_fs(folder)
        paths = [path for path in sorted(system.ls(root, detail=False)) if path.endswith(".parquet")]
    except FileNotFoundError:
        paths = []
    except (ImportError, ValueError, OSError) as error:  # the file system is unknown, or its library is missing
        raise InputFault(f"{folder}: cannot be read ({error})") from error
    if not paths:
        raise InputFault(f"{folder}: no table; expected a folder with Parquet files, *.parquet")
    return tuple(system.unstrip_protocol(path) for path in paths)


def _kinds(url: str) -> dict[str, str]:
    with fsspec.open(url, "rb") as stream:
        schema = pq.read_schema(stream)
    repeats = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if repeats:
        raise pa.ArrowInvalid(f"repeated columns: {list_names(repeats)}")
    return {field.name: _kind(field.type) for field in schema}


def _kind(column_type: pa.DataType) -> str:
    value_type = column_type.value_type if pa.types.is_dictionary(column_type) else column_type
    if pa.types.is_string(value_type) or pa.types.is_large_string(value_type):
        return TEXT
    is_number = pa.types.is_floating(value_type) or pa.types.is_integer(value_type) or pa.types.is_boolean(value_type)
    return NUMBER if is_number else str(column_type)


def _faults_of_columns(kinds: Mapping[str, str]) -> Iterator[str]:
    """Yield the faults of the columns of the first file, apart from missing columns."""
    features = {name: kind for name, kind in kinds.items() if name not in KEYS}
    if kinds and not features:
        yield f"no features: only the columns {', '.join(KEYS)}; add a column per feature"
    for name, kind in features.items():
        if name in LABELS:
            yield f"column {name!r} is unknown for a test case or reveals its fold; remove it"
        if name.startswith(INDEX):
            yield f"column {name!r} is the number of a row; write the files without an index"
        if name != safe_name(name):
            yield (
                f"column {name!r}: boosters refuse brackets, quotes, colons, commas and spaces in names; "
                f"rename it {safe_name(name)}"
            )
        if kind not in (NUMBER, TEXT):
            yield f"column {name!r} has the type {kind}; a feature must be a number or text"


def _differences(kinds: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Yield the columns of every file that are missing, additional or of another kind than in the first file."""
    first, first_kinds = next(iter(kinds.items()), ("", {}))
    for url, columns in kinds.items():
        lacking = sorted((first_kinds.keys() | set(KEYS)) - columns.keys())
        if lacking:
            yield f"{file_name(url)}: column(s) missing: {list_names(lacking)}"
        if additional := sorted(columns.keys() - first_kinds.keys() - set(KEYS)):
            yield f"{file_name(url)}: column(s) that {file_name(first)} does not have: {list_names(additional)}"
        common = sorted(columns.keys() & first_kinds.keys() - set(KEYS))
        for name in (name for name in common if columns[name] != first_kinds[name]):
            yield f"{file_name(url)}: column {name!r} is {columns[name]}, but {first_kinds[name]} in {file_name(first)}"


def _labels(files: Sequence[str], readable: Sequence[str], faults: Faults) -> pd.DataFrame:
    """Return the labels of the ``readable`` ones of ``files``, and add their faults to ``faults``."""
    tables = []
    for url in readable:
        try:
            tables.append(_labels_of(read_rows(url, KEYS)).assign(file=np.int32(files.index(url))))
        except (OSError, pa.ArrowException) as error:
            faults.add(f"{file_name(url)}: fold and target must be numbers ({error})")
    labels = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    for fault in _faults_of_labels(labels) if len(tables) == len(files) else ():
        faults.add(fault)
    return labels


def _labels_of(rows: pa.Table) -> pd.DataFrame:
    # Text in Arrow's format: ids as Python strings would take more memory than the features of some tables.
    texts = {key: pd.array(rows[key].cast(pa.string()), dtype="string[pyarrow]") for key in IDS}
    return pd.DataFrame(texts | {key: numeric_column(rows, key).astype(np.float32) for key in NUMBERS})


def _faults_of_labels(labels: pd.DataFrame) -> Iterator[str]:
    """Yield the faults of ids, targets and folds that prevent a cross-validation with patients kept together."""
    for key in IDS:
        if missing := int(labels[key].isna().sum()):
            yield f"{key}: missing in {number_of(missing, 'row')}"
    codes, names = labels["image_name"].array.factorize()  # Arrow's; with Python strings it takes ten times as long
    if len(repeats := np.flatnonzero(np.bincount(codes[codes >= 0], minlength=len(names)) > 1)):
        yield f"image_name: repeated ids: {list_names(names[repeats])}"
    train = labels.loc[labels["target"].notna(), list(NUMBERS)]
    if train.empty:
        yield "target: missing in all rows; train rows need 0 or 1, test rows no value"
        return
    if not (valid := train["target"].isin([0, 1])).all():
        yield f"target: neither 0 nor 1: {list_names(labels.loc[train.index[~valid], 'image_name'])}"
    whole = train["fold"].between(0, MOST_FOLDS) & (train["fold"] % 1 == 0)
    if not whole.all():
        rule = f"fold: train rows need a whole number from 0 to {MOST_FOLDS}; it is missing or another value in rows"
        yield f"{rule}: {list_names(labels.loc[train.index[~whole], 'image_name'])}"
    yield from _faults_of_patients(labels)
    yield from _faults_of_folds(train.dropna(subset="fold"))


def _faults_of_patients(labels: pd.DataFrame) -> Iterator[str]:
    codes, spellings = labels["patient_id"].array.factorize()
    patients, _ = pd.factorize(patient_keys(spellings))  # -1 for a word that means a missing patient
    names = pd.Series(np.asarray(spellings, dtype=object)).groupby(patients).first()
    codes = np.append(patients, -1)[codes]
    rows = labels[["fold", "target"]].assign(patient=codes)[codes >= 0]
    train = rows[rows["target"].notna()]
    pairs = train[["patient", "fold"]].dropna().drop_duplicates()
    split = pairs.loc[pairs["patient"].duplicated(), "patient"].unique()
    if len(split):
        yield f"patient_id: in several folds: {list_names(names[split])}; all rows of a patient must be in one fold"
    in_both = np.intersect1d(train["patient"], rows.loc[rows["target"].isna(), "patient"])
    if len(in_both):
        yield f"patient_id: in train and in test rows: {list_names(names[in_both])}; a patient must be in one of them"


def _faults_of_folds(train: pd.DataFrame) -> Iterator[str]:
    classes = train[train["target"].isin([0, 1])].groupby("fold")["target"].nunique()
    if len(classes) < FEWEST_FOLDS:
        yield f"fold: {number_of(len(classes), 'fold')}; at least {FEWEST_FOLDS} are needed"
    one_class = classes.index[classes < 2]
    if len(one_class):
        yield f"fold: folds without a row of each class: {list_names(f'{fold:g}' for fold in one_class)}"
