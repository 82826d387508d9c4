"""Find the layout of a data folder: its mapping, else the contest's files, else those of a public data set."""

from __future__ import annotations

import re
from collections.abc import Iterable, MutableMapping
from pathlib import Path

from features.folder.column_names import has_name, requested_columns
from features.folder.joined_tables import shared_ids
from features.folder.layout import MAPPING, Layout
from features.folder.notes import warning
from features.folder.public_sets.recognise import recognise
from features.folder.table_file import SUFFIXES, read_user_table
from features.folder.table_header import path_in, table_header, tables_in
from runtime.errors import InputFault, list_names
from runtime.settings import read_settings

TABLES = ("train", "test", "sample", "train_sizes", "test_sizes", "pairs")
MOST = 0.5  # share of the ids that another table must have, to be joined without a setting that names it

PART = re.compile(r"(.*(?:part|batch|chunk|split)[_ -]?)\d+", re.IGNORECASE)

Contents = MutableMapping[str, bytes]  # file name -> bytes of the tables that were read already


def read_layout(data: Path, mapping: Path | None, notes: list[str], contents: Contents) -> Layout:
    """Return the layout of ``data``: from ``mapping``, from the folder's cases.toml, the contest's, or a public set's.

    File names may differ in case or, for the contest's tables, in the suffix (train.parquet); a table that holds
    columns which the cases lack is joined. ``notes`` collects these choices, ``contents`` the tables that were read.
    Raises InputFault if the folder or ``mapping`` does not exist, for an unknown key, or if several files can be meant.
    """
    if not data.is_dir():
        reason = "is a file; name the folder that it is in" if data.is_file() else "does not exist"
        raise InputFault(f"{data}: the data folder {reason}")
    settings_file = mapping or data / MAPPING
    if mapping is not None or settings_file.is_file():
        layout = _with_actual_names(data, read_settings(settings_file, Layout), notes)
        layout = _with_other_parts(data, layout, notes)
    else:
        layout = _with_actual_names(data, Layout(), notes)
        if not _is_contest(data, layout, contents):
            layout = recognise(data, notes, lambda path: _content(data, path, contents)) or layout
    return _with_joins(data, layout, notes, contents)


def _content(data: Path, path: Path, contents: Contents) -> bytes:
    name = path_in(data, path)
    if name not in contents:
        contents[name] = path.read_bytes()
    return contents[name]


def _is_contest(data: Path, layout: Layout, contents: Contents) -> bool:
    """Return whether the tables have the contest's columns, or too few to be those of any other data set."""
    names = [name for name in (layout.train, layout.test) if (data / name).is_file()]
    image_name, target = layout.columns.image_name, layout.columns.target
    header = table_header(_content(data, data / names[0], contents), (image_name, target)) if names else ()
    return bool(names) and (image_name in [name.casefold() for name in header] or not header)


def _with_actual_names(data: Path, layout: Layout, notes: list[str]) -> Layout:
    """Return ``layout`` with the names of the files that are there, if they differ in case or in the suffix only."""
    changes = dict[str, str]()
    names = {role: name for role in TABLES if (name := str(getattr(layout, role))) and not (data / name).exists()}
    for role, name in names.items():
        actual = _actual_name(data, name, is_default=name == Layout.model_fields[role].default)
        if actual is not None:
            notes.append(f"{actual} is read as {name}")
            changes[role] = actual
    return layout.model_copy(update=changes) if changes else layout


def _actual_name(data: Path, name: str, *, is_default: bool) -> str | None:
    """Return the only file that ``name`` can mean; raise InputFault if there are several, and None if none is there."""
    folder, stem = (data / name).parent, Path(name).stem.casefold()
    if not folder.is_dir():
        return None
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    matches = [path for path in files if path.name.casefold() == Path(name).name.casefold()]
    if not matches and is_default:
        matches = [path for path in files if path.stem.casefold() == stem and path.suffix.lower() in SUFFIXES]
    if len(matches) > 1:
        raise InputFault(
            f"{data}: several files could be {name}: {list_names(path.name for path in matches)}; delete all except one"
        )
    return path_in(data, matches[0]) if matches else None


def _with_other_parts(data: Path, layout: Layout, notes: list[str]) -> Layout:
    """Return ``layout`` with the other parts of a folder of pictures that is one of several (images_part_1)."""
    changes = dict[str, tuple[str, ...]]()
    for role in ("train", "test"):
        names = layout.pictures_of(role)
        parts = _numbered_parts(data, names[0]) if len(names) == 1 else ()
        if len(parts) > 1 and names[0] in parts:
            others = [part for part in parts if part != names[0]]
            notes.append(f"{names[0]} is one of {len(parts)} parts; the others are read too: {list_names(others)}")
            changes[f"{role}_pictures"] = parts
    return layout.model_copy(update=changes) if changes else layout


def _numbered_parts(data: Path, name: str) -> tuple[str, ...]:
    """Return the folders beside ``name`` that differ from it in the number of the part only, sorted."""
    number = PART.fullmatch((data / name).name)
    if number is None or not (data / name).is_dir():
        return ()
    folders = [path for path in sorted((data / name).parent.iterdir()) if path.is_dir()]
    matches = [(path, PART.fullmatch(path.name)) for path in folders]
    return tuple(path_in(data, path) for path, match in matches if match is not None and match[1] == number[1])


def _with_joins(data: Path, layout: Layout, notes: list[str], contents: Contents) -> Layout:
    """Return ``layout`` with the tables that hold columns which the cases lack, for each role without a join.

    Of a column that several tables hold, none is joined, and ``notes`` has a warning.
    """
    changes = dict[str, tuple[str, ...]]()
    for role in ("train", "test"):
        name, key = str(getattr(layout, role)), f"{role}_join"
        if getattr(layout, key) or not name or not (data / name).is_file() or getattr(layout, f"{role}_header"):
            continue
        wishes = requested_columns(layout, role)
        header = table_header(_content(data, data / name, contents), wishes)
        lacking = [column for column in wishes if header and not _provides(layout, role, header, column)]
        if lacking:
            changes[key] = _tables_with(data, layout, name, lacking, notes, contents)
    changes = {key: names for key, names in changes.items() if names}
    return layout.model_copy(update=changes) if changes else layout


def _provides(layout: Layout, role: str, header: Iterable[str], column: str) -> bool:
    if role == "test" and column in layout.test_columns:
        return True
    stands_in = column == layout.columns.patient_id and has_name(header, layout.columns.lesion_id)
    return stands_in or has_name(header, column)


def _tables_with(
    data: Path, layout: Layout, name: str, lacking: list[str], notes: list[str], contents: Contents
) -> tuple[str, ...]:
    """Return the other tables of the folder that have columns of ``lacking`` for most of the ids in ``name``."""
    others = [path for path in tables_in(data) if path_in(data, path) not in layout.tables()]
    headers = {path_in(data, path): table_header(_content(data, path, contents), lacking) for path in others}
    candidates = {other for other, header in headers.items() if any(has_name(header, column) for column in lacking)}
    image_name = layout.columns.image_name
    candidates = {other for other in candidates if _share_ids(data, name, other, image_name, contents) > MOST}
    joined_names = dict[str, None]()
    for column in lacking:
        owners = sorted(other for other in candidates if has_name(headers[other], column))
        if len(owners) > 1:
            remedy = f'name one in {MAPPING}: train_join = ["{owners[0]}"]'
            notes.append(warning(f"{name}: several tables have {column}: {list_names(owners)}; {remedy}"))
        joined_names |= dict.fromkeys(owners if len(owners) == 1 else ())
    return tuple(joined_names)


def _share_ids(data: Path, name: str, other: str, image_name: str, contents: Contents) -> float:
    """Return the share of the ids of table ``name`` that table ``other`` has, by the finest id of both."""
    try:
        tables = [read_user_table(data / each, image_name, content=contents.get(each)) for each in (name, other)]
    except InputFault:  # a table without a setting that names it may be anything
        return 0.0
    key = shared_ids(*tables)
    return 0.0 if key is None else float(tables[0][key[0]].isin(tables[1][key[1]]).mean())
