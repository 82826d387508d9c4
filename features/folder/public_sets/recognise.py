"""Recognise a public data set by the column names and file names of its tables, and return its layout."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

from features.folder.column_names import has_name
from features.folder.layout import Layout
from features.folder.table_header import path_in, table_header, tables_in
from runtime.errors import InputFault, list_names
from runtime.settings import Settings, read_settings

Content = Callable[[Path], bytes]
Headers = dict[str, tuple[str, ...]]  # path of a table, relative to the data folder -> its column names


class Table(Settings):
    """How a table of a public set is known: all of ``columns`` are in it; ``names`` (patterns) choose among several.

    The first pattern that fits a table decides. Unless ``is_named`` is set, a table with the columns may have any name.
    """

    columns: tuple[str, ...] = ()
    names: tuple[str, ...] = ("*",)
    is_named: bool = False


class PublicSet(Settings):
    """A public data set: its tables, its folders of pictures (patterns of names), and its other settings."""

    name: str
    source: str
    train: Table
    test: tuple[Table, ...] = ()  # alternatives
    train_join: tuple[Table, ...] = ()
    test_join: tuple[Table, ...] = ()
    train_folders: tuple[str, ...] = ()
    test_folders: tuple[str, ...] = ()
    layout: Layout = Layout()


@cache
def public_sets() -> tuple[PublicSet, ...]:
    """Return all public sets, those with the most columns first, since the fewest tables fit them by chance."""
    sets = [read_settings(path, PublicSet) for path in sorted(Path(__file__).parent.glob("*.toml"))]
    return tuple(sorted(sets, key=lambda each: -len(each.train.columns)))


def recognise(data: Path, notes: list[str], content: Content) -> Layout | None:
    """Return the layout of the public data set that ``data`` holds, with a note; None if it holds none.

    ``content`` returns the bytes of a table. Raises InputFault if several tables could be the training cases.
    """
    expected = {column for each in public_sets() for column in each.train.columns}
    headers = {path_in(data, path): table_header(content(path), expected) for path in tables_in(data)}
    trains = ((each, _train_table(data, each, headers)) for each in public_sets())
    each, train = next(((each, train) for each, train in trains if train is not None), (None, None))
    each = each or next((each for each in public_sets() if _test_table(data, each, headers)), None)
    if each is None:
        return None
    layout = _layout(data, each, train, _test_table(data, each, _without(headers, train)), headers)
    notes.append(f"read as: {each.name} ({_description(layout)}); a cases.toml can say otherwise")
    return layout


def _train_table(data: Path, each: PublicSet, headers: Headers) -> str | None:
    tests = {name for table in each.test for name in headers if _fits(name, headers[name], table, table.names)}
    return _only_table(data, each, each.train, {name: headers[name] for name in headers if name not in tests})


def _test_table(data: Path, each: PublicSet, headers: Headers) -> str | None:
    tables = (_only_table(data, each, table, headers) for table in each.test)
    return next((name for name in tables if name is not None), None)


def _only_table(data: Path, each: PublicSet, table: Table, headers: Headers) -> str | None:
    """Return the path of ``table``, None if no table is it; raise InputFault if several can be."""
    patterns = [*table.names, *([] if table.is_named else ["*"])]
    matches = ([name for name in headers if _fits(name, headers[name], table, [pattern])] for pattern in patterns)
    names = next(filter(None, matches), [])
    top = [name for name in names if "/" not in name] or names
    if len(top) > 1:
        raise InputFault(
            f"{data}: several tables could be the cases of {each.name}: {list_names(top)}; "
            'name one in cases.toml: train = "..."'
        )
    return top[0] if top else None


def _fits(name: str, header: Iterable[str], table: Table, patterns: Iterable[str]) -> bool:
    """Return whether a table with this path and ``header`` has the columns of ``table``, and a fitting name."""
    present = {column.casefold() for column in header}
    is_name_like = any(fnmatch(Path(name).name.casefold(), text.casefold()) for text in patterns)
    return is_name_like and all(column.casefold() in present for column in table.columns)


def _without(headers: Headers, name: str | None) -> Headers:
    return {other: header for other, header in headers.items() if other != name}


def _layout(data: Path, each: PublicSet, train: str | None, test: str | None, headers: Headers) -> Layout:
    others = _without(_without(headers, train), test)
    changes: dict[str, object] = {"train": train or each.layout.train, "test": test or ""}
    for role, tables in (("train", each.train_join if train else ()), ("test", each.test_join if test else ())):
        names = [_only_table(data, each, table, others) for table in tables]
        changes[f"{role}_join"] = tuple(name for name in names if name)
    for role, patterns in (("train", each.train_folders), ("test", each.test_folders)):
        folders = _folders(data, patterns)
        if folders:
            changes[f"{role}_pictures"] = folders if len(folders) > 1 else folders[0]
    columns = each.layout.columns
    if train and not any(has_name(headers[train], name) for name in (columns.patient_id, columns.lesion_id)):
        has_patients = any(has_name(headers[name], columns.patient_id) for name in changes["train_join"])  # type: ignore[attr-defined]
        patient = columns.patient_id if has_patients else columns.image_name
        changes["columns"] = columns.model_copy(update={"patient_id": patient})
    return each.layout.model_copy(update=changes)


def _folders(data: Path, patterns: Iterable[str]) -> tuple[str, ...]:
    """Return the folders in ``data`` that fit the patterns; of a folder that was packed into itself, the inner one."""
    plain = [pattern.casefold() for pattern in patterns]
    folders = [path for depth in ("*", "*/*") for path in sorted(data.glob(depth)) if path.is_dir()] if plain else []
    fitting = [path for path in folders if any(fnmatch(path_in(data, path).casefold(), pattern) for pattern in plain)]
    # One archive, unpacked under two spellings, is read once.
    fitting = list({path_in(data, path).casefold(): path for path in reversed(fitting)}.values())[::-1]
    inner = [path / path.name if (path / path.name).is_dir() else path for path in fitting]
    return tuple(dict.fromkeys(path_in(data, path) for path in inner))


def _description(layout: Layout) -> str:
    columns, tables = layout.columns, [layout.train, *layout.train_join]
    positive = f" = {', '.join(layout.positive)}" if layout.positive else ""
    patient = "a picture" if columns.patient_id == columns.image_name else columns.patient_id
    test = f"; test cases: {layout.test}" if layout.test else ""
    return f"{' and '.join(tables)}; malignant: {columns.target}{positive}; a patient is {patient}{test}"
