"""What a picture's first bytes and headers say against it, before any pixel is decoded."""

import re

from features.pictures.jpeg_png import JPEG_SCAN, MOST_MEGAPIXELS, Header
from features.pictures.read import header_of_bytes
from features.pictures.suffixes import FIRST_BYTES, kind_of_bytes
from melstack.bundle.serving.limits import Limits
from runtime.errors import InputFault

Fault = tuple[int, str]  # HTTP status and sentence
DEFLATE_SYNTAX = b"1.2.840.10008.1.2.1.99"  # UID of a transfer syntax
JPEG_IN_DICOM = b"1.2.840.10008.1.2.4."  # beginning of the UIDs of JPEG, also lossless, and of JPEG 2000
META_BYTES = 4096  # of a DICOM in which its transfer syntax stands
# A marker that begins a segment of a JPEG: no stuffed 0xFF, restart marker or fill byte.
SEGMENT = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
MOST_SEGMENTS = 5000  # each takes microseconds of Python
# Flat photographs have some 20 bytes of pixels per byte of their file; zeros that were packed have 500 to 1,000.
MOST_EXPANSION = 200
PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # colour type -> samples per pixel
SPARSE_FROM = 1_000_000  # pixels; smaller pictures are cheap to decode, with any content


def first_fault(content: bytes, limits: Limits) -> Fault | None:
    """Return the fault of a picture's bytes by their type and markers; None if its header can be read."""
    if not content:
        return 422, "the file is empty; send a picture"
    kind = kind_of_bytes(content[:FIRST_BYTES])
    if kind is None:
        return 415, f"neither JPEG nor PNG nor DICOM (it begins with {content[:8]!r}); convert it to JPEG or PNG"
    if kind == "DICOM" and DEFLATE_SYNTAX in content[:META_BYTES]:
        # Reading its size would inflate all of it, up to a thousandfold.
        return 415, "a deflated DICOM; send it without deflate compression, or as JPEG"
    is_jpeg = kind == "JPEG" or (kind == "DICOM" and JPEG_IN_DICOM in content[:META_BYTES])
    return _marker_fault(content, limits) if is_jpeg else None


def _marker_fault(content: bytes, limits: Limits) -> Fault | None:
    """Return the fault of a JPEG with too many scans or other segments, which compressed data does not look like."""
    scans = content.count(JPEG_SCAN)
    if scans > limits.scans:
        return 413, f"a JPEG of {scans:,} scans; at most {limits.scans} are allowed; save it again as JPEG or PNG"
    segments = sum(1 for _ in SEGMENT.finditer(content))
    if segments > MOST_SEGMENTS:
        return 413, f"a JPEG of {segments:,} segments; at most {MOST_SEGMENTS:,} are allowed; save it again as JPEG"
    return None


def read_size(content: bytes, limits: Limits) -> Header | Fault:
    """Return the header of a picture, or the fault of its size."""
    try:
        header = header_of_bytes(content)
    except InputFault as fault:
        return 413 if f"{MOST_MEGAPIXELS} megapixels" in str(fault) else 422, str(fault)
    pixels = header.width * header.height
    size = f"{header.width} x {header.height} pixels"
    if pixels > limits.pixels:
        return 413, f"{size}; at most {limits.pixels / 1e6:g} million are allowed; send a smaller picture"
    if pixels > SPARSE_FROM and pixels * _bytes_per_pixel(content) > MOST_EXPANSION * header.file_bytes:
        return 413, f"{size} in {header.file_bytes:,} bytes, which no photograph has; send the picture as it was taken"
    return header


def _bytes_per_pixel(content: bytes) -> float:
    """Return the bytes per pixel that a PNG declares (depth at byte 24, colour type at byte 25); 1 for other types."""
    if kind_of_bytes(content[:FIRST_BYTES]) != "PNG":
        return 1
    return content[24] / 8 * PNG_SAMPLES.get(content[25], 1)
