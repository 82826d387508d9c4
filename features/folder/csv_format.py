"""The shape of a user's CSV: its delimiter and header, and that every row has as many fields as the header."""

import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from runtime.errors import InputFault, list_names

DELIMITERS = (",", ";", "\t", "|")
CALLED = {";": "semicolons", "\t": "tabs", "|": "vertical bars", ",": "commas"}
FIRST_LINE = re.compile(rb"[^\r\n]*[\r\n]*")
SEPARATOR_LINE = re.compile(rb"\s*sep=(.)\s*", re.IGNORECASE)  # how Excel tells itself the delimiter
PIECE = 1 << 24  # bytes looked at in one go
QUOTE, NEWLINE = 34, 10
MOST_SHOWN = 5


@dataclass(frozen=True)
class Shaped:
    """A CSV that a parser may read: UTF-8 ``content`` without comments, its ``delimiter`` and its ``header``."""

    content: bytes
    delimiter: str
    header: tuple[str, ...]
    first: int = 1  # the line of the file in which the header stands


def shaped(content: bytes, known: Collection[str], notes: list[str]) -> Shaped:
    """Return UTF-8 ``content`` as a table whose rows all have the header's fields; ``notes`` is told what was mended.

    ``known`` are the columns that are looked for: they tell the delimiter, and a header in another case is theirs.
    Comments before the header, rows without a value and empty fields after the last column are left out. Raises
    InputFault for quotes that do not close, columns given twice, and rows of another length, all of them together.
    """
    if b"\r" in content and b"\n" not in content:  # line ends of the old Mac
        content = content.replace(b"\r", b"\n")
    whole = content
    content, told = _without_comments(whole, notes)
    first = whole.count(b"\n", 0, len(whole) - len(content)) + 1
    delimiter = told or _delimiter(content, known)
    if delimiter != ",":
        notes.append(f"delimited by {CALLED.get(delimiter, repr(delimiter))}, read as such")
    header = _fields_of(FIRST_LINE.match(content), delimiter)
    if not header:
        raise InputFault("no line with the names of the columns")
    table = Shaped(content, delimiter, tuple(header), first)
    if not _is_regular(content, delimiter, len(header)):
        table = _row_by_row(table, notes)
    return replace(table, header=_repaired_header(table.header, known, notes))


def _without_comments(content: bytes, notes: list[str]) -> tuple[bytes, str | None]:
    """Return what follows blank lines, comments (#) and Excel's own first line, and the delimiter that one names."""
    place, comments, delimiter = 0, 0, None
    for line in FIRST_LINE.finditer(content):
        said = SEPARATOR_LINE.fullmatch(line[0])
        if line[0].strip() and not said and not line[0].startswith(b"#"):
            break
        comments += line[0].startswith(b"#")
        delimiter = said[1].decode() if said else delimiter
        place = line.end()
    if comments:
        notes.append(f"{comments} comment line(s) before the header left out")
    return content[place:], delimiter


def _delimiter(content: bytes, known: Collection[str]) -> str:
    """Return the delimiter by which the header has most of the ``known`` columns, else by which it has most columns."""
    first, wanted = FIRST_LINE.match(content), {name.casefold() for name in known}
    headers = {mark: [name.strip().casefold() for name in _fields_of(first, mark)] for mark in DELIMITERS}
    return max(DELIMITERS, key=lambda mark: (len(wanted.intersection(headers[mark])), len(headers[mark])))


def _fields_of(line: re.Match[bytes] | None, delimiter: str) -> list[str]:
    text = line[0].decode().rstrip("\r\n") if line else ""
    return next(csv.reader([text], delimiter=delimiter), [])


def _is_regular(content: bytes, delimiter: str, fields: int) -> bool:
    """Tell whether every line has ``fields`` fields: counted by NumPy, since a parser in Python would take longer.

    Line ends and delimiters outside of quotes are all that is looked at: every ``fields``-th of them ends a line.
    """
    mark, quoted = ord(delimiter), 0
    parts = []
    for start in range(0, len(content), PIECE):
        piece = np.frombuffer(content, np.uint8, min(PIECE, len(content) - start), start)
        counts = (piece == mark) | (piece == NEWLINE)
        if QUOTE in content[start : start + len(piece)]:
            inside = np.bitwise_xor.accumulate((piece == QUOTE).astype(np.uint8)) ^ quoted
            counts &= inside == 0
            quoted = int(inside[-1])
        elif quoted:
            continue
        parts.append(piece[counts])
    events = np.concatenate([*parts, np.array([] if content.endswith(b"\n") else [NEWLINE], np.uint8)])
    if quoted or len(events) % fields:
        return False
    rows = events.reshape(-1, fields) == NEWLINE
    return bool(rows[:, -1].all() and not rows[:, :-1].any())


def _row_by_row(table: Shaped, notes: list[str]) -> Shaped:
    """Return ``table`` written anew without blank rows and empty last fields; raise InputFault for ragged rows."""
    rows = list(_rows(table))
    filled = [(line, row) for line, row in rows if any(field.strip() for field in row)]
    blank = len([row for _, row in rows if row]) - len(filled)
    if blank:
        notes.append(f"{blank} row(s) without a value left out")
    fields = len(table.header)
    longer = [row[fields:] for _, row in filled if len(row) > fields]
    if longer and not any(field.strip() for rest in longer for field in rest):
        notes.append(f"empty field(s) after the last column left out in {len(longer)} row(s)")
        filled = [(line, row[:fields]) for line, row in filled]
    wrong = [f"line {line}: {len(row)}" for line, row in filled if len(row) != fields]
    if wrong:
        said = list_names(wrong, MOST_SHOWN)
        raise InputFault(f"rows of another length than the header, which has {fields} field(s): {said}")
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(row for _, row in filled)
    return Shaped(written.getvalue().encode(), ",", table.header, table.first)


def _rows(table: Shaped) -> Iterator[tuple[int, Sequence[str]]]:
    """Yield line number and fields of every row, header included."""
    lines = csv.reader(io.StringIO(table.content.decode(), newline=""), delimiter=table.delimiter, strict=True)
    started = table.first
    try:
        for row in lines:
            yield started, row
            started = lines.line_num + table.first
    except csv.Error as error:
        raise InputFault(f"quotes that do not close: the row that begins in line {started} ({error})") from error


def _repaired_header(header: Sequence[str], known: Collection[str], notes: list[str]) -> tuple[str, ...]:
    meant = {name.casefold(): name for name in known}
    names = [name.strip() for name in header]
    # An exact name has the first claim: a table may hold both Target and target.
    names = [name if name in names and name in known else _in_case(name, names, meant) for name in names]
    changed = [f"{old!r} as {new!r}" for old, new in zip(header, names, strict=True) if old != new]
    if changed:
        notes.append(f"columns read under their proper name: {', '.join(changed[:MOST_SHOWN])}")
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise InputFault(f"columns given twice: {list_names(twice)}")
    return tuple(names)


def _in_case(name: str, names: Sequence[str], meant: dict[str, str]) -> str:
    proper = meant.get(name.casefold(), name)
    return name if proper in names else proper
