"""The suffixes of picture files, and what a file's first bytes say about its kind."""

import re
from pathlib import PurePath

SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "DICOM": (".dcm", ".dicom", ".dic", ".ima"),
}
KIND_OF_SUFFIX = {suffix: kind for kind, suffixes in SUFFIXES.items() for suffix in suffixes}
# Endings that people write behind the name of a picture, also of kinds that are not read.
ENDINGS = frozenset(
    (
        *("jpg", "jpeg", "jpe", "jfif", "png", "bmp", "dcm", "dicom", "dic", "ima"),
        *("tif", "tiff", "webp", "heic", "gif"),
    )
)
ENDING = re.compile(rf"\.(?:{'|'.join(sorted(ENDINGS))})$", re.IGNORECASE)
FIRST_BYTES = 132  # enough for every kind
DICOM_MAGIC = slice(128, 132), b"DICM"  # position in a file, and bytes
BMP_HEADERS = tuple(bytes((length,)) for length in (12, 40, 52, 56, 64, 108, 124))
# Groups of the first element of a DICOM without preamble: file meta information, or identification.
FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")
VALUE_TYPE = re.compile(rb"(AE|AS|AT|CS|DA|DS|DT|FD|FL|IS|LO|LT|OB|OW|PN|SH|SL|SQ|SS|ST|TM|UI|UL|UN|US|UT)")
LONGEST_FIRST_VALUE = 256  # bytes of the first value when its type is implicit


def name_of_file(path: PurePath) -> str:
    """Return the name of a picture: its file's name without the ending of a picture file."""
    stem, _, ending = path.name.rpartition(".")
    return stem if stem and ending.lower() in ENDINGS else path.name


def kind_of_bytes(start: bytes) -> str | None:
    """Return JPEG, PNG, BMP or DICOM by the first 132 bytes of a file; None for another file."""
    if start.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if is_bmp(start):
        return "BMP"
    return "DICOM" if is_dicom(start) else None


def is_bmp(start: bytes) -> bool:
    """Return whether a file with these first bytes is a BMP: BM, four zeros, and a usual length of the header."""
    return start.startswith(b"BM") and start[6:10] == bytes(4) and start[14:15] in BMP_HEADERS and len(start) > 18


def is_dicom(start: bytes) -> bool:
    """Return whether a file with these first 132 bytes is a DICOM, also one without preamble.

    Without preamble, a file begins with its first element (DICOM PS3.5, 7.1): group and element, each two bytes
    with the lowest first; then the two characters of the value's type, or the length of the value in four bytes.
    """
    position, magic = DICOM_MAGIC
    if start[position] == magic:
        return True
    if len(start) < FIRST_BYTES or start[:2] not in FIRST_GROUPS:
        return False
    return bool(VALUE_TYPE.fullmatch(start[4:6])) or int.from_bytes(start[4:8], "little") <= LONGEST_FIRST_VALUE
