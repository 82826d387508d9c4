"""Read pictures: a cheap check of the file, pixels as RGB, squares for the networks."""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from features.faults import InputFault

Picture = NDArray[np.uint8]

SHORTEST_SIDE = 8  # px; below this it is an icon, not a photograph
MOST_MEGAPIXELS = 200  # eight times a 24-megapixel camera: what is larger is a decompression bomb
TAIL = 65536  # bytes at the end of a file in which its end mark must stand (cameras append notes)
JPEG_START, JPEG_SCAN, JPEG_END = b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"
PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"\x00\x00\x00\x00IEND\xaeB`\x82"
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, struct.error, zlib.error)


@dataclass(frozen=True)
class Header:
    """Size of a picture in pixels, as stored in its header, and of its file in bytes."""

    width: int
    height: int
    file_bytes: int


def read_header(path: Path) -> Header:
    """Return the size of the JPEG or PNG at ``path`` without decoding its pixels.

    Raises InputFault when the file is missing, empty, neither JPEG nor PNG, of an absurd size, or cut off
    (no end mark in its last 64 KiB).
    """
    with _opened(path) as (stream, image):
        file_bytes = stream.seek(0, io.SEEK_END)
        stream.seek(max(0, file_bytes - TAIL))
        if not _is_complete(stream.read(), image):
            raise InputFault(f"cut off: the end mark of a {image.format} is missing")
        return Header(image.width, image.height, file_bytes)


def read_picture(path: Path, *, shortest: int | None = None) -> Picture:
    """Return the pixels of the JPEG or PNG at ``path`` as RGB, uint8 (height, width, 3).

    A JPEG is decoded by libjpeg at 1/2, 1/4 or 1/8 of its size (a share of the time) where its short side stays at
    least ``shortest`` px; other pictures come in full size. Greyscale, palette and CMYK become RGB, 16 bits become
    8, transparency is dropped. The EXIF orientation is ignored: so do the readers of TFRecords, the header's width
    and height stay true, and a lesion has no up or down.
    Raises InputFault when the file is missing, is neither JPEG nor PNG, is cut off or broken.
    """
    with _opened(path) as (_, image):
        _shrink_decode(image, shortest)
        image.load()
        return np.asarray(_to_rgb(image))


def resize_square(picture: Picture, size: int) -> Picture:
    """Return the whole ``picture`` (height, width, 3) squeezed to uint8 (size, size, 3), antialiased.

    Lanczos keeps the fine pigment network that a box filter blurs; ``reducing_gap`` first averages whole blocks
    of pixels of a source more than twice as large, which bounds the time without a visible difference.
    """
    return _resize(picture, (size, size))


def encode_jpeg(picture: Picture, quality: int = 95) -> bytes:
    """Return ``picture`` (height, width, 3) as JPEG bytes with full colour resolution (4:4:4), always the same ones."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def shrink(picture: Picture, longest: int) -> Picture:
    """Return ``picture`` (height, width, 3) with its long side at most ``longest`` px, antialiased; never enlarged."""
    height, width = picture.shape[:2]
    ratio = longest / max(height, width)
    if ratio >= 1:
        return picture
    return _resize(picture, (max(1, round(width * ratio)), max(1, round(height * ratio))))


def _resize(picture: Picture, size: tuple[int, int]) -> Picture:
    image = Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    return np.asarray(image)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, ImageFile]]:
    """Yield the stream and the lazily read image; turn whatever goes wrong within into an InputFault on ``path``."""
    try:
        with path.open("rb") as stream, _image(stream) as image:
            yield stream, image
    except InputFault as fault:
        raise InputFault(f"{path}: {fault}") from fault
    except FileNotFoundError as error:
        raise InputFault(f"{path}: no such picture") from error
    except UNREADABLE as error:
        raise InputFault(f"{path}: not a readable picture ({error})") from error


def _image(stream: BinaryIO) -> ImageFile:
    """Return the image of ``stream``, opened by its plugin: the size limit of ``Image.open`` is global state."""
    start = stream.read(len(PNG_START))
    stream.seek(0)
    image = _plugin(start)(stream)
    if min(image.size) < SHORTEST_SIDE:
        raise InputFault(f"{image.width} x {image.height} px; at least {SHORTEST_SIDE} px on each side are needed")
    if image.width * image.height > MOST_MEGAPIXELS * 1e6:
        raise InputFault(f"{image.width} x {image.height} px; at most {MOST_MEGAPIXELS} megapixels are read")
    return image


def _plugin(start: bytes) -> type[JpegImageFile] | type[PngImageFile]:
    if not start:
        raise InputFault("an empty file")
    if start.startswith(JPEG_START):
        return JpegImageFile
    if start == PNG_START:
        return PngImageFile
    raise InputFault(f"neither JPEG nor PNG (it begins with {start!r})")


def _is_complete(tail: bytes, image: ImageFile) -> bool:
    if image.format == "PNG":
        return PNG_END in tail
    # An end mark before the last scan belongs to an embedded thumbnail.
    return tail.rfind(JPEG_END) > tail.rfind(JPEG_SCAN)


def _shrink_decode(image: ImageFile, shortest: int | None) -> None:
    factor = 1 if shortest is None else min(image.size) // shortest
    scale = next((scale for scale in (8, 4, 2) if scale <= factor), 1)
    if scale > 1:
        image.draft(None, (image.width // scale, image.height // scale))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "P":
        # Straight to RGB, Pillow warns about palettes with transparent entries.
        image = image.convert("RGBA")
    return image.convert("RGB")
