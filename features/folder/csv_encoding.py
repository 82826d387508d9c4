"""Decode a user's CSV to UTF-8: other encodings are converted with a note, and files that are not text are refused."""

import codecs
import re

from runtime.errors import InputFault
from runtime.plural import number_of

Notes = list[str]

# The first bytes of other kinds of files that users save as .csv.
OTHER_FILES = (
    (b"PK\x03\x04", "a spreadsheet (.xlsx, .ods) or another ZIP archive; export the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old spreadsheet (.xls); export the sheet as CSV"),
    (b"\x1f\x8b", "a file compressed by gzip; unpack it"),
    (b"BZh", "a file compressed by bzip2; unpack it"),
    (b"\xfd7zXZ", "a file compressed by xz; unpack it"),
    (b"(\xb5/\xfd", "a file compressed by zstandard; unpack it"),
    (b"PAR1", "a Parquet file; write it as CSV"),
    (b"%PDF", "a PDF; export the table as CSV"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG", "a PNG picture"),
)
WEB_PAGE = re.compile(rb"\s*<(!doctype|html|\?xml)", re.IGNORECASE)
# UTF-32 comes before UTF-16 because its byte order mark begins with that of UTF-16.
MARKS = (
    (codecs.BOM_UTF8, "utf-8", "UTF-8 with a byte order mark"),
    (codecs.BOM_UTF32_LE, "utf-32-le", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32-be", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16"),
)
MOSTLY = 0.8  # share of every second byte that is 0 when western text is UTF-16
LINE_ENDS = re.compile(rb"\r\n|\r|\n")


def utf8_text(content: bytes, notes: Notes) -> bytes:
    """Return ``content`` as UTF-8 without a byte order mark; add a note if its encoding was another one.

    A file without a mark that is not UTF-8 is read as CP1252 (called ANSI in Windows) if every byte is valid there.
    Raises InputFault for an empty file, another kind of file, NUL bytes, an unknown encoding and mixed encodings.
    """
    _refuse_other_files(content)
    encoding = next((row for row in MARKS if content.startswith(row[0])), None) or _unmarked_utf16(content)
    if encoding is not None:
        content = _decode(content, *encoding)
        notes.append(f"encoded in {encoding[2]}; converted to UTF-8")
    if b"\x00" in content:
        line = len(LINE_ENDS.findall(content[: content.index(b"\x00")])) + 1
        raise InputFault(
            f"{number_of(content.count(0), 'NUL byte')}, the first in line {line}: the file is damaged or not a text"
        )
    if not content.strip():
        raise InputFault("the file is empty")
    return content if _is_utf8(content) else _from_cp1252(content, notes)


def _refuse_other_files(content: bytes) -> None:
    kind = next((kind for start, kind in OTHER_FILES if content.startswith(start)), None)
    if kind is None and WEB_PAGE.match(content[:200]):
        kind = "a web page, which a download returns that needs a log-in"
    if kind is not None:
        raise InputFault(f"not a CSV but {kind}")


def _unmarked_utf16(content: bytes) -> tuple[bytes, str, str] | None:
    pairs = len(content) // 2
    if content[1::2].count(0) > MOSTLY * pairs:
        return b"", "utf-16-le", "UTF-16 without a byte order mark"
    if content[0::2].count(0) > MOSTLY * pairs:
        return b"", "utf-16-be", "UTF-16 without a byte order mark"
    return None


def _decode(content: bytes, mark: bytes, encoding: str, description: str) -> bytes:
    try:
        return content[len(mark) :].decode(encoding).encode()
    except UnicodeDecodeError as error:
        raise InputFault(f"damaged {description}: byte {error.start + len(mark)} is not valid in it") from error


def _is_utf8(content: bytes) -> bool:
    if content.isascii():  # this check makes no copy
        return True
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _from_cp1252(content: bytes, notes: Notes) -> bytes:
    lines = [(number, line) for number, line in enumerate(LINE_ENDS.split(content), 1) if not line.isascii()]
    other_lines = [(number, line) for number, line in lines if not _is_utf8(line)]
    if len(other_lines) < len(lines):
        numbers = ", ".join(str(number) for number, _ in other_lines[:5])
        raise InputFault(
            f"a file must have one encoding: {len(lines) - len(other_lines)} line(s) are UTF-8, {len(other_lines)} are "
            f"not, in line(s) {numbers}; save it as UTF-8"
        )
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError as error:
        line = len(LINE_ENDS.findall(content[: error.start])) + 1
        byte = content[error.start]
        raise InputFault(f"neither UTF-8 nor CP1252: byte 0x{byte:02x} in line {line}; save it as UTF-8") from error
    first = other_lines[0][1].decode("cp1252")[:60]
    notes.append(f"not UTF-8; read as CP1252 (Windows): {number_of(len(other_lines), 'line')}, the first {first!r}")
    return text.encode()
