"""What a picture's bytes are, whatever its name says, and what becomes of its pixels when they are read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from PIL.ImageFile import ImageFile

from runtime.errors import list_names

ORIENTATION = 0x0112  # EXIF
# What a file begins with, at which byte, that people call .jpg but that is not read.
OTHER_KINDS = (
    (0, b"II*\x00", "a TIFF"),
    (0, b"MM\x00*", "a TIFF"),
    (0, b"BM", "a BMP"),
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
SUFFIXES = {"JPEG": (".jpg", ".jpeg"), "PNG": (".png",), "DICOM": (".dcm",)}
START_OF_SCAN, END_OF_PICTURE = 0xDA, 0xD9
# A marker within a scan that is neither a stuffed 0xFF nor a restart nor a fill byte.
MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])", re.DOTALL)
TABLES = frozenset({0xC4, 0xCC, 0xDA, 0xDB, 0xDD, 0xFE})  # between scans: tables, comments, a scan's head
APPLICATION = frozenset(range(0xE0, 0xF0))  # before the first scan, as one frame is
FRAMES = frozenset(range(0xC0, 0xD0)) - TABLES


def other_kind(start: bytes) -> str:
    """Return what a file is that is neither JPEG, PNG nor DICOM, told by its first 16 bytes."""
    known = (kind for place, magic, kind in OTHER_KINDS if start[place : place + len(magic)] == magic)
    kind = next(known, None)
    return f"{kind}; convert it to JPEG or PNG" if kind else f"it begins with {start[:8]!r}"


def remarks(image: ImageFile) -> tuple[str, ...]:
    """Return what reading changes in ``image`` (its header read, its pixels not)."""
    found = []
    if image.mode == "CMYK":
        found.append("CMYK, turned into RGB")
    if image.mode in ("L", "1", "LA", "I;16", "I"):
        found.append("without colour, read as grey RGB")
    if image.mode.startswith("I") or any("16" in str(tile.args) for tile in image.tile):
        found.append("of 16 bits, read with 8")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        found.append("with transparency, which is dropped")
    if "exif" in image.info and image.getexif().get(ORIENTATION, 1) != 1:
        found.append("to be shown turned by their EXIF, which is ignored (a lesion has no up or down)")
    return tuple(found)


def remark_on_name(kind: str, suffix: str) -> tuple[str, ...]:
    """Return a remark where ``suffix`` is not that of a JPEG, PNG or DICOM."""
    return () if suffix.lower() in SUFFIXES[kind] else (f"called {suffix.lower()} but {kind}, read by their content",)


def remark_notes(remarked: Mapping[str, Iterable[str]], where: str) -> list[str]:
    """Return one sentence per remark on pictures (image_name -> remarks), with the count and the first names."""
    names: dict[str, list[str]] = {}
    for name, found in remarked.items():
        for remark in found:
            names.setdefault(remark, []).append(name)
    return [f"{where}: pictures {remark}: {list_names(those)}" for remark, those in names.items()]


def scan_damage(content: bytes) -> str | None:
    """Return what is wrong within the scans of a JPEG, None for a sound one.

    libjpeg fills what it cannot decode with grey and says nothing to Pillow. Bytes overwritten by others nearly always
    hold a marker that no scan may hold (ISO/IEC 10918-1, B.1.1.2); zeros do not.
    """
    place, allowed, is_due = 2, APPLICATION | FRAMES | TABLES, True
    while found := MARKER.search(content, place):
        marker, between = found[1][0], content[place : found.start()]
        if is_due and between.strip(b"\xff"):
            return f"damaged at byte {place}: no marker where one is due"
        place = found.start()
        if marker == END_OF_PICTURE:
            return None
        if marker not in allowed:
            return f"damaged at byte {place}: marker 0xff{marker:02x} within the picture"
        place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        is_due = marker != START_OF_SCAN
        allowed = allowed if is_due else TABLES
    return "cut off: its end mark is missing"
