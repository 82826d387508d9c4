"""The tables of a folder and their column names, read without the rows."""

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

from features.folder.csv_encoding import utf8_text
from features.folder.csv_format import header_of_text
from features.folder.spreadsheet import is_spreadsheet, spreadsheet_as_csv
from features.folder.table_file import FEATHER, PARQUET, SUFFIXES
from runtime.errors import InputFault

START = 1 << 16  # bytes of a text file in which its header is
MOST_FOLDERS = 50  # sub-folders in which tables are searched


def tables_in(folder: Path) -> list[Path]:
    """Return the tables in ``folder``, then those one folder deeper, each sorted; hidden files are left out.

    A file without a suffix whose name ends in _metadata counts as well: HAM10000's is published so.
    """
    entries = sorted(folder.iterdir())
    subfolders = [path for path in entries if path.is_dir() and not path.name.startswith(".")][:MOST_FOLDERS]
    deeper = [path for subfolder in subfolders for path in _tables_of(sorted(subfolder.iterdir()))]
    return [*_tables_of(entries), *deeper]


def path_in(data: Path, path: Path) -> str:
    """Return ``path`` relative to the data folder, as a mapping names it."""
    return path.relative_to(data).as_posix()


def _tables_of(paths: Iterable[Path]) -> list[Path]:
    return [
        path
        for path in paths
        if not path.name.startswith(".")
        and (path.suffix.lower() in SUFFIXES or path.name.lower().endswith("_metadata"))
        and path.is_file()
    ]


def table_header(content: bytes, expected: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the column names of a table from the bytes of its file, () if it cannot be read.

    ``expected`` names help to find the delimiter and, in a spreadsheet, the line with the column names.
    """
    expected = set(expected)
    try:
        if content.startswith((PARQUET, *FEATHER)):
            return _arrow_header(content)
        if is_spreadsheet(content):
            content = spreadsheet_as_csv(content, expected, [])
        elif len(content) > START:
            content = content[: max(content.rfind(b"\n", 0, START), 0)]
        return tuple(name.strip() for name in header_of_text(utf8_text(content, []), expected))
    except (InputFault, ValueError, OSError):
        return ()


def _arrow_header(content: bytes) -> tuple[str, ...]:
    if content.startswith(PARQUET):
        from pyarrow.parquet import read_schema

        return tuple(read_schema(BytesIO(content)).names)
    from pyarrow.feather import read_table

    return tuple(read_table(BytesIO(content)).column_names)
