"""Read the sheet of an .xlsx file as the text of a CSV, so that it has the checks and repairs of one."""

import csv
import io
import zipfile
from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import islice

from runtime.errors import InputFault, list_names
from runtime.plural import number_of

WORKBOOK = "xl/workbook.xml"
TITLE_ROWS = 40  # rows in which the line with the column names is searched
Row = tuple[object, ...]


def is_spreadsheet(content: bytes) -> bool:
    """Return whether ``content`` is an .xlsx file."""
    if not content.startswith(b"PK\x03\x04"):
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return WORKBOOK in archive.namelist() and "[Content_Types].xml" in archive.namelist()
    except zipfile.BadZipFile:
        return False


def spreadsheet_as_csv(content: bytes, columns: Collection[str], notes: list[str]) -> bytes:
    """Return the sheet of an .xlsx file that has most of ``columns`` as UTF-8 CSV; the values of formulas are used.

    Rows above the line with the column names are left out. ``notes`` collects the sheet's name if there are several,
    and the rows left out. Raises InputFault for a damaged file or one without a table.
    """
    from openpyxl import load_workbook

    try:
        book = load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        sheets = {sheet.title: list(sheet.iter_rows(values_only=True)) for sheet in book.worksheets}
    except (KeyError, ValueError, zipfile.BadZipFile, TypeError) as error:
        raise InputFault(f"a damaged spreadsheet ({error})") from error
    tables = {title: rows for title, rows in sheets.items() if any(any(map(_text, row)) for row in rows)}
    if not tables:
        raise InputFault("the spreadsheet has no values")
    expected = {name.casefold() for name in columns}
    title = max(tables, key=lambda name: max(_matches(row, expected) for row in islice(tables[name], TITLE_ROWS)))
    others = [name for name in tables if name != title]
    if others:
        notes.append(f"sheet {title!r} is read; other sheets are not: {list_names(others)}")
    rows = tables[title]
    first = _header_row(rows, expected)
    if first:
        notes.append(f"{number_of(first, 'row')} above the column names left out")
    return _as_csv(rows[first:])


def _header_row(rows: Sequence[Row], expected: Collection[str]) -> int:
    """Return the number of the row with most of the ``expected`` names; in a tie the first row with values."""
    counts = [(_matches(row, expected), sum(bool(_text(cell)) for cell in row) > 0) for row in rows[:TITLE_ROWS]]
    return counts.index(max(counts))


def _matches(row: Row, expected: Collection[str]) -> int:
    return sum(_text(cell).strip().casefold() in expected for cell in row)


def _as_csv(rows: Sequence[Row]) -> bytes:
    width = max((number for row in rows for number, cell in enumerate(row, 1) if _text(cell)), default=0)
    buffer = io.StringIO()
    full_rows = ([_text(cell) for cell in (*row, *[None] * width)[:width]] for row in rows)
    csv.writer(buffer, lineterminator="\n").writerows(row for row in full_rows if any(row))
    return buffer.getvalue().encode()


def _text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return cell.isoformat(sep=" ").removesuffix(" 00:00:00")
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)
