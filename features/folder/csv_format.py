"""Find the delimiter and the header of a user's CSV, and check that every row has as many fields as the header."""

import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from runtime.errors import InputFault, list_names
from runtime.plural import number_of

DELIMITERS = (",", ";", "\t", "|")
DELIMITER_NAMES = {";": "semicolons", "\t": "tabs", "|": "vertical bars", ",": "commas"}
FIRST_LINE = re.compile(rb"[^\r\n]*[\r\n]*")
SEPARATOR_LINE = re.compile(rb"\s*sep=(.)\s*", re.IGNORECASE)  # Excel's own way to store the delimiter
PIECE = 1 << 24  # bytes that are checked at once
QUOTE, NEWLINE = 34, 10
MOST_SHOWN = 5
MOST_FIELDS = 12  # fields; a wider table without a line of column names cannot be named by hand
DIGITS = re.compile(r"\d+")
MAPPING_HINT = """cases.toml: train_header = ["image_name", "target"] (or test_header), one name per column, in order"""


@dataclass(frozen=True)
class CsvShape:
    """A CSV that a parser can read: UTF-8 ``content`` without comments, its ``delimiter`` and its ``header``."""

    content: bytes
    delimiter: str
    header: tuple[str, ...]
    first: int = 1  # line number of the header in the file


def regular_csv(
    content: bytes, columns: Collection[str], notes: list[str], column_names: tuple[str, ...] = ()
) -> CsvShape:
    """Return UTF-8 ``content`` as a table in which every row has the header's fields; add a note for every repair.

    ``columns`` are the column names to look for: they decide which delimiter is used, and a header name in another
    case is replaced by theirs. Comments before the header, blank rows and empty fields after the last column are left
    out. ``column_names`` are the header of a table whose first line is a row already. Raises InputFault for unclosed
    quotes and repeated columns, and lists all rows of another length together.
    """
    if b"\r" in content and b"\n" not in content:  # line ends of the old Mac
        content = content.replace(b"\r", b"\n")
    whole = content
    content, declared_delimiter = _without_comments(whole, notes)
    first = whole.count(b"\n", 0, len(whole) - len(content)) + 1
    delimiter = declared_delimiter or _choose_delimiter(content, columns)
    if delimiter != ",":
        notes.append(f"columns are separated by {DELIMITER_NAMES.get(delimiter, repr(delimiter))} instead of commas")
    first_fields = _fields_of(FIRST_LINE.match(content), delimiter)
    if not first_fields:
        raise InputFault("the file has no line with the column names")
    header = column_names or first_fields
    _check_first_line(content, first_fields, column_names, columns, delimiter)
    table = CsvShape(content, delimiter, tuple(header), first)
    if not _is_regular(content, delimiter, len(header)):
        table = _repair_rows(table, notes)
    return replace(table, header=repair_header(table.header, columns, notes))


def _check_first_line(
    content: bytes, fields: Sequence[str], column_names: Sequence[str], columns: Collection[str], delimiter: str
) -> None:
    """Raise InputFault if the first line is a row without ``column_names``, or is not one with them."""
    expected = {name.casefold() for name in columns}
    has_names = any(field.strip().casefold() in expected for field in fields)
    if column_names and has_names:
        raise InputFault(f"the first line has column names ({list_names(fields)}); the mapping gives others besides")
    if column_names or has_names or len(fields) > MOST_FIELDS:
        return
    second = next(FIRST_LINE.finditer(content, FIRST_LINE.match(content).end()), None)  # type: ignore[union-attr]
    shape, next_shape = (
        DIGITS.sub("0", text.strip()) for text in (fields[0], (_fields_of(second, delimiter) or [""])[0])
    )
    if "0" in shape and shape == next_shape:
        raise InputFault(
            f"the first line is a row, not column names: {', '.join(fields)}; name the columns in {MAPPING_HINT}"
        )


def header_of_text(content: bytes, columns: Collection[str]) -> list[str]:
    """Return the fields of the first line after blank lines and comments; ``columns`` as in ``regular_csv``."""
    content, declared_delimiter = _without_comments(content.replace(b"\r", b"\n"), [])
    return _fields_of(FIRST_LINE.match(content), declared_delimiter or _choose_delimiter(content, columns))


def _without_comments(content: bytes, notes: list[str]) -> tuple[bytes, str | None]:
    """Return the content after blank lines, comments (#) and Excel's ``sep=`` line, and the delimiter of that line."""
    start, comments, delimiter = 0, 0, None
    for line in FIRST_LINE.finditer(content):
        separator = SEPARATOR_LINE.fullmatch(line[0])
        if line[0].strip() and not separator and not line[0].startswith(b"#"):
            break
        comments += line[0].startswith(b"#")
        delimiter = separator[1].decode() if separator else delimiter
        start = line.end()
    if comments:
        notes.append(f"{number_of(comments, 'comment line')} before the header left out")
    return content[start:], delimiter


def _choose_delimiter(content: bytes, columns: Collection[str]) -> str:
    """Return the delimiter with which the header has most of the expected ``columns``; in a tie, most columns."""
    first, expected = FIRST_LINE.match(content), {name.casefold() for name in columns}
    headers = {mark: [name.strip().casefold() for name in _fields_of(first, mark)] for mark in DELIMITERS}
    return max(DELIMITERS, key=lambda mark: (len(expected.intersection(headers[mark])), len(headers[mark])))


def _fields_of(line: re.Match[bytes] | None, delimiter: str) -> list[str]:
    text = line[0].decode().rstrip("\r\n") if line else ""
    return next(csv.reader([text], delimiter=delimiter), [])


def _is_regular(content: bytes, delimiter: str, fields: int) -> bool:
    """Return whether every line has ``fields`` fields, counted with NumPy because a parser in Python is slower.

    Only line ends and delimiters outside quotes are counted: every ``fields``-th of them must be a line end.
    """
    mark, in_quotes = ord(delimiter), 0
    parts = []
    for start in range(0, len(content), PIECE):
        piece = np.frombuffer(content, np.uint8, min(PIECE, len(content) - start), start)
        counts = (piece == mark) | (piece == NEWLINE)
        if QUOTE in content[start : start + len(piece)]:
            inside = np.bitwise_xor.accumulate((piece == QUOTE).astype(np.uint8)) ^ in_quotes
            counts &= inside == 0
            in_quotes = int(inside[-1])
        elif in_quotes:
            continue
        parts.append(piece[counts])
    events = np.concatenate([*parts, np.array([] if content.endswith(b"\n") else [NEWLINE], np.uint8)])
    if in_quotes or len(events) % fields:
        return False
    rows = events.reshape(-1, fields) == NEWLINE
    return bool(rows[:, -1].all() and not rows[:, :-1].any())


def _repair_rows(table: CsvShape, notes: list[str]) -> CsvShape:
    """Return ``table`` without blank rows and empty last fields; raise InputFault for rows of another length."""
    rows = list(_rows(table))
    rows_with_values = [(line, row) for line, row in rows if any(field.strip() for field in row)]
    blank = len([row for _, row in rows if row]) - len(rows_with_values)
    if blank:
        notes.append(f"{number_of(blank, 'blank row')} left out")
    fields = len(table.header)
    longer = [row[fields:] for _, row in rows_with_values if len(row) > fields]
    if longer and not any(field.strip() for rest in longer for field in rest):
        notes.append(f"empty field(s) after the last column left out in {number_of(len(longer), 'row')}")
        rows_with_values = [(line, row[:fields]) for line, row in rows_with_values]
    wrong = [f"{len(row)} in line {line}" for line, row in rows_with_values if len(row) != fields]
    if wrong:
        raise InputFault(
            f"every row must have {number_of(fields, 'field')}, as the header; found {list_names(wrong, MOST_SHOWN)}"
        )
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(row for _, row in rows_with_values)
    return CsvShape(buffer.getvalue().encode(), ",", table.header, table.first)


def _rows(table: CsvShape) -> Iterator[tuple[int, Sequence[str]]]:
    """Yield line number and fields of every row, header included."""
    lines = csv.reader(io.StringIO(table.content.decode(), newline=""), delimiter=table.delimiter, strict=True)
    first_line = table.first
    try:
        for row in lines:
            yield first_line, row
            first_line = lines.line_num + table.first
    except csv.Error as error:
        raise InputFault(f"unclosed quotes in the row that begins in line {first_line} ({error})") from error


def repair_header(header: Sequence[str], columns: Collection[str], notes: list[str]) -> tuple[str, ...]:
    """Return ``header`` without outer blanks, in the spelling of ``columns``; raise InputFault for repeated names."""
    by_lower_case = {name.casefold(): name for name in columns}
    names = [name.strip() for name in header]
    present = set(names)
    # An exact match comes first, since a table may hold both Target and target.
    names = [name if name in columns else _match_case(name, present, by_lower_case) for name in names]
    repairs = [f"{old!r} as {new!r}" for old, new in zip(header, names, strict=True) if old != new]
    if repairs:
        notes.append(f"column names repaired: {', '.join(repairs[:MOST_SHOWN])}")
    twice = sorted(name for name, count in Counter(names).items() if name and count > 1)
    if twice:
        raise InputFault(f"column names must be unique; found more than once: {list_names(twice)}")
    return tuple(names)


def _match_case(name: str, names: Collection[str], by_lower_case: dict[str, str]) -> str:
    proper = by_lower_case.get(name.casefold(), name)
    return name if proper in names else proper
