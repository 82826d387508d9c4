"""Read JPEG, PNG and BMP through Pillow: checks before decoding, reduced decoding where it suffices, always RGB."""

import io
import struct
import zlib
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from features.pictures.file_types import other_kind, remarks, scan_damage
from features.pictures.suffixes import FIRST_BYTES, is_bmp
from runtime.errors import InputFault

Picture = NDArray[np.uint8]

SHORTEST_SIDE = 8  # px; smaller pictures are icons and not photographs
MOST_OBLONG = 16  # largest ratio of the sides; a longer strip would lose its content in a square
MOST_MEGAPIXELS = 200  # eight times a 24-megapixel camera; larger files are decompression bombs
TAIL = 65536  # bytes at the end of a file that must contain its end marker (cameras append notes)
JPEG_START, JPEG_SCAN, JPEG_END = b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"
PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"\x00\x00\x00\x00IEND\xaeB`\x82"
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, struct.error, zlib.error)


@dataclass(frozen=True)
class Header:
    """The size of a picture in pixels, from its header, and of its file in bytes.

    ``kind`` is the file type by content, ``remarks`` describes how reading changes the picture; ``==`` ignores both.
    """

    width: int
    height: int
    file_bytes: int
    kind: str = field(default="", compare=False)
    remarks: tuple[str, ...] = field(default=(), compare=False)


def image_header(stream: BinaryIO) -> Header:
    """Return the size of the JPEG, PNG or BMP in ``stream`` without decoding its pixels.

    Raises InputFault if it is none of them, of an implausible size, or cut off (no end marker in its last 64 KiB).
    """
    with open_image(stream) as image:
        file_bytes = stream.seek(0, io.SEEK_END)
        if not _is_complete(stream, file_bytes, image):
            raise InputFault(f"cut off: the end marker of a {image.format} is missing")
        return Header(image.width, image.height, file_bytes, str(image.format), remarks(image))


def open_image(stream: BinaryIO) -> ImageFile:
    """Return the image in ``stream`` before its pixels are decoded.

    Pillow's plugin opens it, because the size limit of ``Image.open`` is global state.
    Raises InputFault if it is neither JPEG nor PNG nor BMP, of an implausible size, or animated.
    """
    start = stream.read(FIRST_BYTES)
    stream.seek(0)
    image = _plugin(start)(stream)
    check_size(image.width, image.height)
    frames = int(getattr(image, "n_frames", 1))
    if frames > 1:
        raise InputFault(f"a file must hold one picture; found an animated {image.format} of {frames} frames")
    return image


def refuse_damage(stream: BinaryIO) -> None:
    """Raise InputFault if the JPEG in ``stream`` is damaged inside; leave ``stream`` at its beginning."""
    stream.seek(0)
    content = stream.read()
    stream.seek(0)
    damage = scan_damage(content) if content.startswith(JPEG_START) else None
    if damage:
        raise InputFault(f"not a readable picture ({damage})")


def check_size(width: int, height: int) -> None:
    """Raise InputFault if a picture of these px is too small, has too many pixels, or is too narrow for its length."""
    if min(width, height) < SHORTEST_SIDE:
        raise InputFault(f"{width} x {height} px; each side must have at least {SHORTEST_SIDE} px")
    if width * height > MOST_MEGAPIXELS * 1e6:
        raise InputFault(f"{width} x {height} px; a picture must have at most {MOST_MEGAPIXELS} megapixels")
    if max(width, height) > MOST_OBLONG * min(width, height):
        raise InputFault(f"{width} x {height} px; the long side must be at most {MOST_OBLONG} times the short one")


def decode(image: ImageFile, shortest: int | None = None) -> Picture:
    """Return the pixels of ``image`` as RGB, uint8 (height, width, 3).

    A JPEG is decoded by libjpeg at 1/2, 1/4 or 1/8 of its size, which saves time, as long as the short side keeps at
    least ``shortest`` px. Greyscale, palette and CMYK are converted to RGB, 16 bits to 8; transparency is dropped.
    """
    shrink_decode(image, shortest)
    image.load()
    return np.asarray(_to_rgb(image))


def shrink_decode(image: ImageFile, shortest: int | None) -> None:
    """Make a JPEG decode at the smallest of 1/1, 1/2, 1/4 and 1/8 that keeps ``shortest`` px; do nothing to a PNG."""
    factor = 1 if shortest is None else min(image.size) // shortest
    scale = next((scale for scale in (8, 4, 2) if scale <= factor), 1)
    if scale > 1:
        image.draft(None, (image.width // scale, image.height // scale))


def _plugin(start: bytes) -> type[JpegImageFile] | type[PngImageFile] | type[BmpImageFile]:
    if not start:
        raise InputFault("the file is empty")
    if start.startswith(JPEG_START):
        return JpegImageFile
    if start.startswith(PNG_START):
        return PngImageFile
    if is_bmp(start):
        return BmpImageFile
    raise InputFault(f"not a JPEG, PNG or DICOM ({other_kind(start)})")


def _is_complete(stream: BinaryIO, file_bytes: int, image: ImageFile) -> bool:
    if image.format == "BMP":  # it declares its size, which some writers leave 0
        stream.seek(2)
        return int.from_bytes(stream.read(4), "little") <= file_bytes
    stream.seek(max(0, file_bytes - TAIL))
    tail = stream.read()
    if image.format == "PNG":
        return PNG_END in tail
    # An end marker before the last scan belongs to an embedded thumbnail.
    return tail.rfind(JPEG_END) > tail.rfind(JPEG_SCAN)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "P":
        # Direct conversion to RGB makes Pillow warn about palettes with transparent entries.
        image = image.convert("RGBA")
    return image.convert("RGB")
