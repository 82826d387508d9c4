"""Describe what a data folder holds, in a few sentences, before anything is read in earnest."""

from collections.abc import Iterator

from features.folder.data_folder import DataFolder
from features.folder.layout import MAPPING, Layout
from features.folder.table_header import tables_in
from runtime.errors import list_names

MOST_COLUMNS = 20  # that a sentence lists; some tables have hundreds


def describe_folder(data: DataFolder) -> list[str]:
    """Return sentences on the tables, the pictures and the other CSV files of ``data``; raise as ``cases`` does."""
    is_usual = data.layout.train == Layout().train
    without_mapping = "the usual ones" if is_usual else "those of a public data set"
    names = data.mapping or MAPPING if data.has_mapping else without_mapping
    return [
        f"{data.path}: the names of files and columns are {names}",
        *_tables(data),
        *_pictures(data),
        *_other_tables(data),
        *data.notes,
    ]


def _tables(data: DataFolder) -> Iterator[str]:
    for role in ("train", "test"):
        name = str(getattr(data.layout, role))
        if not data.has(name):
            yield f"{name or role}: not there"
            continue
        table = data.cases(role)
        yield f"{name}: {len(table)} rows, columns {list_names(table.columns, MOST_COLUMNS)}"
    yield f"{data.layout.sample}: {'there' if data.has(data.layout.sample) else 'not there'}"


def _pictures(data: DataFolder) -> Iterator[str]:
    for role in ("train", "test"):
        location = data.picture_location(role)
        if location is None:
            yield f"pictures of {role}: none"
        elif fault := location.fault or location.only_deeper:
            yield f"pictures of {role}: {fault}"
        elif location.records:
            yield f"pictures of {role}: {len(location.records)} TFRecord files, {location.name}"
        else:
            yield f"pictures of {role}: {len(location.pictures())} in {location.name}"


def _other_tables(data: DataFolder) -> Iterator[str]:
    names = [path.relative_to(data.path).as_posix() for path in tables_in(data.path)]
    others = [name for name in names if name not in data.layout.tables()]
    if others:
        yield f"tables that are not read: {list_names(others)}; a {MAPPING} can name them"
