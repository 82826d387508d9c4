"""JPEG and PNG through Pillow: checked before they are decoded, decoded small where that is enough, always RGB."""

import io
import struct
import zlib
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from features.pictures.file_types import other_kind, remarks, scan_damage
from runtime.errors import InputFault

Picture = NDArray[np.uint8]

SHORTEST_SIDE = 8  # px; below this it is an icon, not a photograph
MOST_OBLONG = 16  # times as long as wide: beyond, it is a strip, and squeezed into a square nothing is left of it
MOST_MEGAPIXELS = 200  # eight times a 24-megapixel camera: what is larger is a decompression bomb
TAIL = 65536  # bytes at the end of a file in which its end mark must stand (cameras append notes)
JPEG_START, JPEG_SCAN, JPEG_END = b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"
PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"\x00\x00\x00\x00IEND\xaeB`\x82"
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, struct.error, zlib.error)


@dataclass(frozen=True)
class Header:
    """Size of a picture in pixels, as stored in its header, and of its file in bytes.

    ``kind`` is what it is by its content, ``remarks`` what reading changes in it; neither makes headers different.
    """

    width: int
    height: int
    file_bytes: int
    kind: str = field(default="", compare=False)
    remarks: tuple[str, ...] = field(default=(), compare=False)


def image_header(stream: BinaryIO) -> Header:
    """Return the size of the JPEG or PNG in ``stream`` without decoding its pixels.

    Raises InputFault when it is neither, of an absurd size, or cut off (no end mark in its last 64 KiB).
    """
    with open_image(stream) as image:
        file_bytes = stream.seek(0, io.SEEK_END)
        stream.seek(max(0, file_bytes - TAIL))
        if not _is_complete(stream.read(), image):
            raise InputFault(f"cut off: the end mark of a {image.format} is missing")
        return Header(image.width, image.height, file_bytes, str(image.format), remarks(image))


def open_image(stream: BinaryIO) -> ImageFile:
    """Return the image that ``stream`` begins with, its pixels not yet decoded.

    It is opened by its plugin, since the size limit of ``Image.open`` is global state.
    Raises InputFault when it is neither JPEG nor PNG, of an absurd size, or animated.
    """
    start = stream.read(len(PNG_START) + 8)
    stream.seek(0)
    image = _plugin(start)(stream)
    check_size(image.width, image.height)
    frames = int(getattr(image, "n_frames", 1))
    if frames > 1:
        raise InputFault(f"an animated {image.format} of {frames} frames; one picture per file is read")
    return image


def refuse_damage(stream: BinaryIO) -> None:
    """Raise InputFault where bytes within the JPEG in ``stream`` are no picture; leave ``stream`` at its beginning."""
    stream.seek(0)
    content = stream.read()
    stream.seek(0)
    damage = scan_damage(content) if content.startswith(JPEG_START) else None
    if damage:
        raise InputFault(f"not a readable picture ({damage})")


def check_size(width: int, height: int) -> None:
    """Raise InputFault for an icon, a decompression bomb and a strip."""
    if min(width, height) < SHORTEST_SIDE:
        raise InputFault(f"{width} x {height} px; at least {SHORTEST_SIDE} px on each side are needed")
    if width * height > MOST_MEGAPIXELS * 1e6:
        raise InputFault(f"{width} x {height} px; at most {MOST_MEGAPIXELS} megapixels are read")
    if max(width, height) > MOST_OBLONG * min(width, height):
        raise InputFault(f"{width} x {height} px; a strip more than {MOST_OBLONG} times as long as wide is no picture")


def decode(image: ImageFile, shortest: int | None = None) -> Picture:
    """Return the pixels of ``image`` as RGB, uint8 (height, width, 3).

    A JPEG is decoded by libjpeg at 1/2, 1/4 or 1/8 of its size (a share of the time) where its short side stays at
    least ``shortest`` px. Greyscale, palette and CMYK become RGB, 16 bits become 8, transparency is dropped.
    """
    shrink_decode(image, shortest)
    image.load()
    return np.asarray(_to_rgb(image))


def shrink_decode(image: ImageFile, shortest: int | None) -> None:
    """Have a JPEG decoded at the smallest of 1/1, 1/2, 1/4 and 1/8 that leaves ``shortest`` px; others stay whole."""
    factor = 1 if shortest is None else min(image.size) // shortest
    scale = next((scale for scale in (8, 4, 2) if scale <= factor), 1)
    if scale > 1:
        image.draft(None, (image.width // scale, image.height // scale))


def _plugin(start: bytes) -> type[JpegImageFile] | type[PngImageFile]:
    if not start:
        raise InputFault("an empty file")
    if start.startswith(JPEG_START):
        return JpegImageFile
    if start.startswith(PNG_START):
        return PngImageFile
    raise InputFault(f"neither JPEG nor PNG nor DICOM ({other_kind(start)})")


def _is_complete(tail: bytes, image: ImageFile) -> bool:
    if image.format == "PNG":
        return PNG_END in tail
    # An end mark before the last scan belongs to an embedded thumbnail.
    return tail.rfind(JPEG_END) > tail.rfind(JPEG_SCAN)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "P":
        # Straight to RGB, Pillow warns about palettes with transparent entries.
        image = image.convert("RGBA")
    return image.convert("RGB")
