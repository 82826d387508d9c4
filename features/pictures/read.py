"""Read pictures from files and containers: a cheap check of the file, pixels as RGB, squares for the networks.

A picture is a JPEG, PNG or DICOM file, or one of these inside an HDF5 file (``<path>.hdf5@<entry>``), or a JPEG or PNG
inside a TFRecord file (``<path>.tfrec@<byte offset>``).
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from features.pictures.file_types import remark_on_name
from features.pictures.hdf5 import parse_entry_path, read_entry
from features.pictures.jpeg_png import UNREADABLE, Header, Picture, decode, image_header, open_image, refuse_damage
from features.pictures.suffixes import FIRST_BYTES, KIND_OF_SUFFIX, is_dicom
from features.pictures.tfrecord import Value, parse_example, parse_record_path, picture_feature, read_record
from runtime.errors import InputFault

__all__ = [
    "Header",
    "Picture",
    "encode_jpeg",
    "header_of_bytes",
    "picture_kind",
    "picture_of_bytes",
    "read_header",
    "read_picture",
    "record_header",
    "resize_square",
    "shrink",
    "stored_jpeg",
]


def picture_kind(picture: str) -> str:
    """Return the kind of a picture's file, by its name: JPEG, PNG, DICOM, TFRecord, HDF5, or 'without a suffix'."""
    if parse_entry_path(Path(picture)):
        return "HDF5"
    suffix = Path(picture).suffix.lower()
    return "TFRecord" if parse_record_path(Path(picture)) else KIND_OF_SUFFIX.get(suffix, "without a suffix")


def read_header(path: Path) -> Header:
    """Return the size of the picture at ``path`` without decoding its pixels.

    For a TFRecord, width and height are the original picture's if the record stores them, else the stored picture's.
    Raises InputFault if the file is missing, empty, of an unknown kind, of an implausible size, or cut off.
    """
    with _open_picture(path) as (stream, _, features):
        header = _header(stream)
        return _with_original_size(header, features) if features else _add_name_remark(header, path)


def _add_name_remark(header: Header, path: Path) -> Header:
    return replace(header, remarks=(*remark_on_name(header.kind, path.suffix), *header.remarks))


def header_of_bytes(content: bytes) -> Header:
    """Return the size of a picture from its file's bytes; raise InputFault as ``read_header`` does."""
    try:
        return _header(io.BytesIO(content))
    except InputFault:
        raise
    except UNREADABLE as error:
        raise InputFault(f"not a readable picture ({error})") from error


def _header(stream: BinaryIO) -> Header:
    if not _is_dicom(stream):
        return image_header(stream)
    from features.pictures.dicom import dicom_header  # slow to import; most folders have no DICOM

    return dicom_header(stream)


def record_header(features: dict[str, Value]) -> Header:
    """Return the header of the picture in a parsed record, with the original's width and height if they are stored.

    Raises InputFault if the record has no image, or if the image is not a valid JPEG or PNG.
    """
    try:
        return _with_original_size(image_header(io.BytesIO(_image_bytes(features))), features)
    except InputFault:
        raise
    except UNREADABLE as error:
        raise InputFault(f"not a readable picture ({error})") from error


def read_picture(path: Path, *, shortest: int | None = None) -> Picture:
    """Return the pixels of the picture at ``path`` as RGB, uint8 (height, width, 3).

    A JPEG, also one inside a DICOM or TFRecord file, is decoded by libjpeg at 1/2, 1/4 or 1/8 of its size, which saves
    time, as long as the short side keeps at least ``shortest`` px; other pictures are returned in full size.
    Greyscale, palette and CMYK are converted to RGB, 16 bits to 8; transparency is dropped. The EXIF orientation is
    ignored: readers of TFRecords ignore it too, the header's width and height stay correct, and a lesion has no up or
    down. Raises InputFault if the file is missing, of an unknown kind, cut off, damaged or animated.
    """
    with _open_picture(path) as (stream, is_dicom, _):
        return _decode(stream, is_dicom, shortest)


def picture_of_bytes(content: bytes, shortest: int | None = None) -> Picture:
    """Return the pixels of a picture from its file's bytes, as ``read_picture`` does with its InputFaults."""
    stream = io.BytesIO(content)
    try:
        return _decode(stream, _is_dicom(stream), shortest)
    except InputFault:
        raise
    except UNREADABLE as error:
        raise InputFault(f"not a readable picture ({error})") from error


def _decode(stream: BinaryIO, is_dicom: bool, shortest: int | None) -> Picture:
    if is_dicom:
        from features.pictures.dicom import dicom_picture  # slow to import; most folders have no DICOM

        return dicom_picture(stream, shortest)
    refuse_damage(stream)
    with open_image(stream) as image:
        return decode(image, shortest)


def stored_jpeg(path: Path, side: int) -> bytes | None:
    """Return the bytes of a colour JPEG of exactly ``side`` x ``side`` px inside a TFRecord; None for other pictures.

    Such a picture already has the right size; copying it avoids the loss of a second compression.
    Raises InputFault if the record is missing or damaged.
    """
    if parse_record_path(path) is None:
        return None
    with _open_picture(path) as (stream, _, _), open_image(stream) as image:
        fits = image.format == "JPEG" and image.mode == "RGB" and image.size == (side, side)
        stream.seek(0)
        return stream.read() if fits else None


def resize_square(picture: Picture, size: int) -> Picture:
    """Return the whole ``picture`` (height, width, 3) resized to uint8 (size, size, 3), antialiased.

    Lanczos keeps the fine pigment network that a box filter blurs. If the source is more than twice as large,
    ``reducing_gap`` first averages whole blocks of pixels, which limits the time without a visible difference.
    """
    return _resize(picture, (size, size))


def encode_jpeg(picture: Picture, quality: int = 95) -> bytes:
    """Return ``picture`` (height, width, 3) as JPEG bytes with full colour resolution (4:4:4); deterministic."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def shrink(picture: Picture, longest: int) -> Picture:
    """Return ``picture`` (height, width, 3) with its long side reduced to at most ``longest`` px, antialiased."""
    height, width = picture.shape[:2]
    ratio = longest / max(height, width)
    if ratio >= 1:
        return picture
    return _resize(picture, (max(1, round(width * ratio)), max(1, round(height * ratio))))


def _resize(picture: Picture, size: tuple[int, int]) -> Picture:
    image = Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    return np.asarray(image)


@contextmanager
def _open_picture(path: Path) -> Iterator[tuple[BinaryIO, bool, dict[str, Value]]]:
    """Yield the picture's stream, whether it is a DICOM, and the features of its record (empty outside a TFRecord).

    Errors of the with block are raised as an InputFault that names ``path``.
    """
    record, entry = parse_record_path(path), parse_entry_path(path)
    content = read_record(*record) if record else None  # its messages already name the path
    try:
        if entry is not None:
            stream = io.BytesIO(read_entry(*entry))
            yield stream, _is_dicom(stream), {}
            return
        if content is not None:
            features = parse_example(content)
            yield io.BytesIO(_image_bytes(features)), False, features
            return
        with path.open("rb") as file:
            yield file, _is_dicom(file), {}
    except InputFault as fault:
        raise InputFault(f"{path}: {fault}") from fault
    except FileNotFoundError as error:
        raise InputFault(f"{path}: the picture does not exist") from error
    except UNREADABLE as error:
        raise InputFault(f"{path}: not a readable picture ({error})") from error


def _is_dicom(stream: BinaryIO) -> bool:
    start = stream.read(FIRST_BYTES)
    stream.seek(0)
    return is_dicom(start)


def _image_bytes(features: dict[str, Value]) -> bytes:
    image = features.get(picture_feature(features) or "image")
    if not isinstance(image, bytes):
        raise InputFault(
            f"the record has no feature image of bytes; its features: {', '.join(sorted(features)) or 'none'}"
        )
    return image


def _with_original_size(header: Header, features: dict[str, Value]) -> Header:
    width, height = features.get("width"), features.get("height")
    if isinstance(width, int) and isinstance(height, int) and min(width, height) > 0:
        return replace(header, width=width, height=height)
    return header
