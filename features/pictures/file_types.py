"""Recognise a picture file by its bytes, describe how reading changes its pixels, and find damage inside a JPEG."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from PIL.ImageFile import ImageFile

from features.pictures.suffixes import SUFFIXES
from runtime.errors import list_names

ORIENTATION = 0x0112  # EXIF
# Position and first bytes of unsupported files that users save as .jpg.
OTHER_KINDS = (
    (0, b"II*\x00", "a TIFF"),
    (0, b"MM\x00*", "a TIFF"),
    (0, b"GIF8", "a GIF"),
    (8, b"WEBP", "a WebP"),
    (4, b"ftyphei", "a HEIC"),
    (4, b"ftypmif", "a HEIC"),
    (4, b"ftypavif", "an AVIF"),
    (0, b"\x00\x00\x00\x0cjP  ", "a JPEG 2000"),
    (0, b"%PDF", "a PDF"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"<", "a web page"),
)
START_OF_SCAN, END_OF_PICTURE = 0xDA, 0xD9
# A marker inside a scan, except a stuffed 0xFF, a restart marker and a fill byte.
MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])", re.DOTALL)
TABLES = frozenset({0xC4, 0xCC, 0xDA, 0xDB, 0xDD, 0xFE})  # between scans: tables, comments, the header of a scan
APPLICATION = frozenset(range(0xE0, 0xF0))  # before the first scan, like FRAMES
FRAMES = frozenset(range(0xC0, 0xD0)) - TABLES


def other_kind(start: bytes) -> str:
    """Return in words what an unsupported file is, by its first 16 bytes, and the remedy."""
    matches = (kind for position, magic, kind in OTHER_KINDS if start[position : position + len(magic)] == magic)
    kind = next(matches, None)
    return f"{kind}; convert it to JPEG or PNG" if kind else f"it begins with {start[:8]!r}"


def remarks(image: ImageFile) -> tuple[str, ...]:
    """Return phrases on how reading changes the pixels of ``image``; only its header is used."""
    changes = []
    if image.mode == "CMYK":
        changes.append("in CMYK, converted to RGB")
    if image.mode in ("L", "1", "LA", "I;16", "I"):
        changes.append("in greyscale, converted to RGB")
    if image.mode.startswith("I") or any("16" in str(tile.args) for tile in image.tile):
        changes.append("with 16 bits, reduced to 8")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        changes.append("with transparency, which is dropped")
    if "exif" in image.info and image.getexif().get(ORIENTATION, 1) != 1:
        changes.append("with an EXIF rotation, which is ignored (a lesion has no up or down)")
    return tuple(changes)


def remark_on_name(kind: str, suffix: str) -> tuple[str, ...]:
    """Return one remark if ``suffix`` does not belong to the picture's ``kind`` (JPEG, PNG or DICOM), else none."""
    if suffix.lower() in SUFFIXES[kind]:
        return ()
    is_suffix = re.fullmatch(r"\.[a-z]\w{0,4}", suffix.lower())  # not the end of a number, as in 1.2.840.113619
    name = f"named {suffix.lower()} but" if is_suffix else "without a suffix,"
    return (f"{name} {kind} by their content, read as {kind}",)


def remark_notes(remarks_of: Mapping[str, Iterable[str]], where: str) -> list[str]:
    """Return one sentence per remark, with the count and the first names; ``remarks_of`` maps image_name -> remarks."""
    names: dict[str, list[str]] = {}
    for name, remarks in remarks_of.items():
        for remark in remarks:
            names.setdefault(remark, []).append(name)
    return [f"{where}: pictures {remark}: {list_names(pictures)}" for remark, pictures in names.items()]


def scan_damage(content: bytes) -> str | None:
    """Return a description of the damage inside the scans of a JPEG, None if there is none.

    libjpeg fills undecodable parts with grey, and Pillow does not report it. Overwritten bytes nearly always hold a
    marker that is invalid inside a scan (ISO/IEC 10918-1, B.1.1.2); zeros do not.
    """
    position, valid_markers, is_due = 2, APPLICATION | FRAMES | TABLES, True
    while match := MARKER.search(content, position):
        marker, between = match[1][0], content[position : match.start()]
        if is_due and between.strip(b"\xff"):
            return f"damaged at byte {position}: a marker is missing"
        position = match.start()
        if marker == END_OF_PICTURE:
            return None
        if marker not in valid_markers:
            return f"damaged at byte {position}: marker 0xff{marker:02x} inside the picture data"
        position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
        is_due = marker != START_OF_SCAN
        valid_markers = valid_markers if is_due else TABLES
    return "cut off: its end marker is missing"
