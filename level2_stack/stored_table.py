"""A table in Parquet files that one machine need not hold: what its files have in common, and who their rows are."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.blocks import LABELS
from level2_stack.design.assemble import plain
from level2_stack.stored_labels import IDS, KEYS, label_faults, read_labels
from runtime.errors import Faults, InputFault, named
from runtime.provenance import LARGE_BYTES, digest, digest_of_file

NUMBER, TEXT = "a number", "text"
INDEX = "__index_level_"  # begins what pandas calls an index without a name
FOOTER = 8  # bytes at the end of a Parquet file: the length of what stands before them, and its magic


@dataclass(frozen=True)
class StoredTable:
    """The files of a table, its features (name -> NUMBER or TEXT), and every row's file (a place), fold, target."""

    files: tuple[Path, ...]
    kinds: Mapping[str, str]
    labels: pd.DataFrame

    @property
    def folds(self) -> list[int]:
        """Return the folds, in their order."""
        train = self.labels.loc[self.labels["target"].notna(), "fold"]
        return sorted(map(int, train.unique()))

    def parts_without(self, fold: int, count: int) -> list[tuple[Path, ...]]:
        """Return the files with train rows outside ``fold``, dealt like cards to ``count`` parts; 1: each is a part."""
        outside = self.labels["target"].notna() & (self.labels["fold"] != fold)
        files = [self.files[number] for number in sorted(self.labels.loc[outside, "file"].unique())]
        parts = len(files) if count == 1 else min(count, len(files))
        return [tuple(files[start::parts]) for start in range(parts)]


def open_table(folder: Path) -> StoredTable:
    """Return the table of all ``*.parquet`` in ``folder``; of features nothing but names and kinds is read.

    Raises InputFault that names every file that is unlike the first one, every column that cannot be a feature, and
    whatever is wrong with ids, patients, folds and targets.
    """
    files = tuple(sorted(folder.resolve().glob("*.parquet")))  # absolute: the same for every worker
    if not files:
        raise InputFault(f"{folder}: no table there; expected Parquet files, *.parquet")
    faults, kinds = Faults(), dict[Path, dict[str, str]]()
    for path in files:
        try:
            kinds[path] = _kinds(pq.read_schema(path))
        except (OSError, pa.ArrowException) as error:
            faults.add(f"{path.name}: not a readable Parquet file ({error})")
    first = next(iter(kinds.values()), {})
    for fault in [*_faults_of_columns(first), *_differences(kinds)]:
        faults.add(fault)
    labels = _labels(files, [path for path, found in kinds.items() if set(KEYS) <= found.keys()], faults)
    faults.raise_if_any(str(folder))
    return StoredTable(files, {name: kind for name, kind in first.items() if name not in KEYS}, labels)


def refuse_table_in(folder: Path) -> None:
    """Raise InputFault where ``folder`` holds Parquet files: they would be read as a part of a table written there."""
    there = sorted(folder.glob("*.parquet"))
    if there:
        raise InputFault(
            f"{folder}: holds {named(path.name for path in there)} already; give another folder, or clear it"
        )


def digests(files: Sequence[Path]) -> dict[str, str]:
    """Return by name what tells whether a file is another one: small ones are read, of large ones size and footer.

    The footer of a Parquet file has the sizes, and mostly the limits, of every piece of every column.
    """
    return {path.name: _digest(path) for path in files}


def _digest(path: Path) -> str:
    size = path.stat().st_size
    if size <= LARGE_BYTES:
        return digest_of_file(path)
    with path.open("rb") as stream:
        stream.seek(-FOOTER, 2)
        length = int.from_bytes(stream.read(4), "little")
        stream.seek(-min(size, FOOTER + length), 2)
        return digest([size, stream.read().hex()])


def _kinds(schema: pa.Schema) -> dict[str, str]:
    names = [name for name in schema.names if schema.names.count(name) > 1]
    if names:
        raise pa.ArrowInvalid(f"columns given twice: {named(sorted(set(names)))}")
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
        if name != plain(name):
            yield f"column {name!r}: boosters refuse brackets, quotes, colons, commas and spaces: {plain(name)}"
        if kind not in (NUMBER, TEXT):
            yield f"column {name!r} is of the type {kind}; a feature is a number or text"


def _differences(kinds: Mapping[Path, Mapping[str, str]]) -> Iterator[str]:
    """Yield for every file which columns it lacks, has beyond, or has as another kind than the first file."""
    first, known = next(iter(kinds.items()), (Path(), {}))
    for path, found in kinds.items():
        lacking = sorted((known.keys() | set(KEYS)) - found.keys())
        if lacking:
            yield f"{path.name}: lacks the column(s) {named(lacking)}"
        if beyond := sorted(found.keys() - known.keys() - set(KEYS)):
            yield f"{path.name}: has column(s) that {first.name} lacks: {named(beyond)}"
        unlike = sorted(name for name in found.keys() & known.keys() - set(KEYS) if found[name] != known[name])
        yield from (f"{path.name}: {name!r} is {found[name]} there, {known[name]} in {first.name}" for name in unlike)


def _labels(files: Sequence[Path], readable: Sequence[Path], faults: Faults) -> pd.DataFrame:
    """Return the labels of all files, with their faults added; what is not readable is a fault already."""
    found = []
    for path in readable:
        try:
            found.append(read_labels(path).assign(file=np.int32(files.index(path))))
        except (OSError, pa.ArrowException) as error:
            faults.add(f"{path.name}: fold or target is no number ({error})")
    labels = pd.concat(found, ignore_index=True) if found else pd.DataFrame()
    for fault in label_faults(labels, files) if len(found) == len(files) else ():
        faults.add(fault)
    return labels.drop(columns=list(IDS), errors="ignore")
