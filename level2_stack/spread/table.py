"""A table in Parquet files, wherever they lie, that no machine need hold: what they have in common, whose rows are."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.blocks import LABELS
from level2_stack.design.assemble import safe_name
from runtime.errors import Faults, InputFault, list_names
from runtime.provenance import LARGE_BYTES, digest

KEYS = ("image_name", "patient_id", "fold", "target")
IDS, NUMBERS = KEYS[:2], KEYS[2:]
NUMBER, TEXT = "a number", "text"
INDEX = "__index_level_"  # begins what pandas calls an index without a name
FEWEST_FOLDS = 3
MOST_FOLDS = 127  # a case table's folds are int8
FOOTER = 8  # bytes at the end of a Parquet file: the length of what stands before them, and its magic


@dataclass(frozen=True)
class StoredTable:
    """The files of a table (URLs), its features (name -> NUMBER or TEXT), and every row's ids, fold, target, file."""

    place: str
    files: tuple[str, ...]
    kinds: Mapping[str, str]
    labels: pd.DataFrame

    @property
    def folds(self) -> list[int]:
        """Return the folds, in their order."""
        train = self.labels.loc[self.labels["target"].notna(), "fold"]
        return sorted(map(int, train.unique()))

    def files_without(self, fold: int) -> list[str]:
        """Return the files that have train rows outside ``fold``."""
        outside = self.labels["target"].notna() & (self.labels["fold"] != fold)
        return [self.files[number] for number in sorted(self.labels.loc[outside, "file"].unique())]


def open_table(place: str) -> StoredTable:
    """Return the table of all ``*.parquet`` in the folder ``place``, a path or the URL of any file system of fsspec.

    Of features nothing but names and kinds is read. Raises InputFault that names every file that is unlike the first
    one, every column that cannot be a feature, and whatever is wrong with ids, patients, folds and targets.
    """
    files, faults, kinds = _files_in(place), Faults(), dict[str, dict[str, str]]()
    for url in files:
        try:
            kinds[url] = _kinds(url)
        except (OSError, pa.ArrowException) as error:
            faults.add(f"{name_of(url)}: not a readable Parquet file ({error})")
    first = next(iter(kinds.values()), {})
    for fault in [*_faults_of_columns(first), *_differences(kinds)]:
        faults.add(fault)
    labels = _labels(files, [url for url, found in kinds.items() if set(KEYS) <= found.keys()], faults)
    faults.raise_if_any(place)
    return StoredTable(place, files, {name: kind for name, kind in first.items() if name not in KEYS}, labels)


def name_of(url: str) -> str:
    """Return the name of a file without its folder."""
    return url.rsplit("/", 1)[-1]


def read_rows(url: str, columns: Sequence[str]) -> pa.Table:
    """Return some columns of a file."""
    with fsspec.open(url, "rb") as stream:
        return pq.read_table(stream, columns=list(columns))


def numbers_of(rows: pa.Table, column: str) -> NDArray[np.float64]:
    """Return a column as numbers, NaN where one is missing; raise pyarrow.ArrowException where one is none."""
    return np.asarray(rows[column].cast(pa.float64()).to_numpy(), np.float64)


def digests(files: Sequence[str]) -> dict[str, str]:
    """Return by name what tells whether a file is another one: small ones are read, of large ones size and footer.

    The footer of a Parquet file has the sizes, and mostly the limits, of every piece of every column.
    """
    return {name_of(url): _digest(url) for url in files}


def _digest(url: str) -> str:
    with fsspec.open(url, "rb") as stream:
        stream.seek(0, 2)
        size = stream.tell()
        stream.seek(max(0, size - FOOTER))
        length = int.from_bytes(stream.read(4), "little")
        stream.seek(0 if size <= LARGE_BYTES else max(0, size - FOOTER - length))
        return digest([size, stream.read().hex()])


def _files_in(place: str) -> tuple[str, ...]:
    """Return the URLs of the Parquet files in ``place``; raise InputFault where there are none, or no such place."""
    try:
        system, root = fsspec.url_to_fs(place)
        found = [path for path in sorted(system.ls(root, detail=False)) if path.endswith(".parquet")]
    except FileNotFoundError:
        found = []
    except (ImportError, ValueError, OSError) as error:  # a file system without its library, or one unknown
        raise InputFault(f"{place}: cannot be read ({error})") from error
    if not found:
        raise InputFault(f"{place}: no table there; expected Parquet files, *.parquet")
    return tuple(system.unstrip_protocol(path) for path in found)


def _kinds(url: str) -> dict[str, str]:
    with fsspec.open(url, "rb") as stream:
        schema = pq.read_schema(stream)
    twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if twice:
        raise pa.ArrowInvalid(f"columns given twice: {list_names(twice)}")
    return {field.name: _kind(field.type) for field in schema}


def _kind(stored: pa.DataType) -> str:
    kind = stored.value_type if pa.types.is_dictionary(stored) else stored
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return TEXT
    number = pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    return NUMBER if number else str(stored)


def _faults_of_columns(kinds: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong with the columns of the first file, apart from those that it lacks."""
    features = {name: kind for name, kind in kinds.items() if name not in KEYS}
    if kinds and not features:
        yield f"no features: no columns beside {', '.join(KEYS)}"
    for name, kind in features.items():
        if name in LABELS:
            yield f"column {name!r} is not known of a test case or tells its fold; it cannot be a feature"
        if name.startswith(INDEX):
            yield f"column {name!r} is the number of a row; write the files without an index"
        if name != safe_name(name):
            yield f"column {name!r}: boosters refuse brackets, quotes, colons, commas and spaces: {safe_name(name)}"
        if kind not in (NUMBER, TEXT):
            yield f"column {name!r} is of the type {kind}; a feature is a number or text"


def _differences(kinds: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Yield for every file which columns it lacks, has beyond, or has as another kind than the first file."""
    first, known = next(iter(kinds.items()), ("", {}))
    for url, found in kinds.items():
        lacking = sorted((known.keys() | set(KEYS)) - found.keys())
        if lacking:
            yield f"{name_of(url)}: lacks the column(s) {list_names(lacking)}"
        if beyond := sorted(found.keys() - known.keys() - set(KEYS)):
            yield f"{name_of(url)}: has column(s) that {name_of(first)} lacks: {list_names(beyond)}"
        unlike = sorted(name for name in found.keys() & known.keys() - set(KEYS) if found[name] != known[name])
        where = name_of(url), name_of(first)
        yield from (f"{where[0]}: {name!r} is {found[name]} there, {known[name]} in {where[1]}" for name in unlike)


def _labels(files: Sequence[str], readable: Sequence[str], faults: Faults) -> pd.DataFrame:
    """Return the labels of all files, with their faults added; what is not readable is a fault already."""
    found = []
    for url in readable:
        try:
            found.append(_labels_of(read_rows(url, KEYS)).assign(file=np.int32(files.index(url))))
        except (OSError, pa.ArrowException) as error:
            faults.add(f"{name_of(url)}: fold or target is no number ({error})")
    labels = pd.concat(found, ignore_index=True) if found else pd.DataFrame()
    for fault in _faults_of_labels(labels) if len(found) == len(files) else ():
        faults.add(fault)
    return labels


def _labels_of(rows: pa.Table) -> pd.DataFrame:
    # Arrow's own text: as Python's strings ids would take more memory than some tables do.
    texts = {key: pd.array(rows[key].cast(pa.string()), dtype="string[pyarrow]") for key in IDS}
    return pd.DataFrame(texts | {key: numbers_of(rows, key).astype(np.float32) for key in NUMBERS})


def _faults_of_labels(labels: pd.DataFrame) -> Iterator[str]:
    """Yield what keeps the rows from being cross-validated with patients kept together."""
    for key in IDS:
        if nameless := int(labels[key].isna().sum()):
            yield f"{key}: missing in {nameless} row(s)"
    codes, names = labels["image_name"].array.factorize()  # in Arrow: in Python's strings it takes ten times as long
    if len(twice := np.flatnonzero(np.bincount(codes[codes >= 0], minlength=len(names)) > 1)):
        yield f"image_name: given more than once: {list_names(names[twice])}"
    train = labels.loc[labels["target"].notna(), list(NUMBERS)]
    if train.empty:
        yield "target: no row has one; train rows have 0 or 1, test rows nothing"
        return
    if not (known := train["target"].isin([0, 1])).all():
        yield f"target: neither 0 nor 1: {list_names(labels.loc[train.index[~known], 'image_name'])}"
    whole = train["fold"].between(0, MOST_FOLDS) & (train["fold"] % 1 == 0)
    if not whole.all():
        sentence = f"fold: missing of a train row, or no whole number from 0 to {MOST_FOLDS}"
        yield f"{sentence}: {list_names(labels.loc[train.index[~whole], 'image_name'])}"
    yield from _faults_of_patients(labels)
    yield from _faults_of_folds(train.dropna(subset="fold"))


def _faults_of_patients(labels: pd.DataFrame) -> Iterator[str]:
    codes, names = labels["patient_id"].array.factorize()
    rows = labels[["fold", "target"]].assign(patient=codes)[codes >= 0]
    train = rows[rows["target"].notna()]
    pairs = train[["patient", "fold"]].dropna().drop_duplicates()
    torn = pairs.loc[pairs["patient"].duplicated(), "patient"].unique()
    if len(torn):
        yield f"patient_id: in several folds: {list_names(names[torn])}; a patient's rows belong in one"
    shared = np.intersect1d(train["patient"], rows.loc[rows["target"].isna(), "patient"])
    if len(shared):
        yield f"patient_id: in train and in test rows: {list_names(names[shared])}"


def _faults_of_folds(train: pd.DataFrame) -> Iterator[str]:
    classes = train[train["target"].isin([0, 1])].groupby("fold")["target"].nunique()
    if len(classes) < FEWEST_FOLDS:
        yield f"fold: {len(classes)} fold(s); at least {FEWEST_FOLDS} are needed"
    one = classes.index[classes < 2]
    if len(one):
        yield f"fold: without a row of each class: {list_names(f'{fold:g}' for fold in one)}"
