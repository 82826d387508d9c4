"""DICOM files of one picture each: their size without decoding, their pixels as RGB."""

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
from PIL.ImageFile import ImageFile
from pydicom import Dataset, dcmread
from pydicom.encaps import get_frame
from pydicom.errors import InvalidDicomError
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
)

from features.pictures.jpeg_png import (
    TAIL,
    UNREADABLE,
    Header,
    Picture,
    check_size,
    decode,
    open_image,
    refuse_damage,
    shrink_decode,
)
from runtime.errors import InputFault

# What libjpeg decodes; the other ways to store pixels are left to pydicom.
LIBJPEG = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1)
SIZE_TAGS = ("Rows", "Columns", "NumberOfFrames")
UNDEFINED = 0xFFFFFFFF  # the length of encapsulated pixels: they end with a mark
END_OF_FRAGMENTS = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"
COLOURS = {"RGB": "RGB", "YBR_FULL": "YCbCr", "YBR_FULL_422": "YCbCr"}  # what a JPEG of this photometric holds
# AttributeError, TypeError: a tag is missing or empty; the others: a way to store pixels that pydicom cannot decode.
UNDECODABLE = (*UNREADABLE, AttributeError, TypeError, NotImplementedError, RuntimeError, InvalidDicomError)


def dicom_header(stream: BinaryIO) -> Header:
    """Return the size of the DICOM in ``stream`` without decoding its pixels.

    Raises InputFault when it has no pixels, several frames or an absurd size, or is cut off.
    """
    with _named_faults():
        dataset = dcmread(stream, stop_before_pixels=True, specific_tags=list(SIZE_TAGS))
        width, height = _size(dataset)
        start = stream.tell()
        file_bytes = stream.seek(0, io.SEEK_END)
        if dataset.file_meta.TransferSyntaxUID != DeflatedExplicitVRLittleEndian:  # there, the offset is of no file
            _check_pixels(stream, start, file_bytes, dataset.file_meta.TransferSyntaxUID)
        return Header(width, height, file_bytes, "DICOM")


def dicom_picture(stream: BinaryIO, shortest: int | None = None) -> Picture:
    """Return the pixels of the DICOM in ``stream`` as RGB, uint8 (height, width, 3).

    JPEG is decoded as in a .jpg file: small where its short side stays at least ``shortest`` px, its colours as its
    own markers or else the photometric interpretation say, converted once. RGB, YBR, grey (also inverted) and palette
    pixels are read raw, run-length encoded or as JPEG 2000; more than 8 bits stored become 8, without windowing.
    Raises InputFault when there are no pixels, several frames, an absurd size, or pixels that cannot be decoded.
    """
    header = dicom_header(stream)  # refuses what pydicom would read in part, with a warning
    stream.seek(0)
    with _named_faults():
        dataset = dcmread(stream)
        is_jpeg = dataset.file_meta.TransferSyntaxUID in LIBJPEG
        picture = _jpeg(dataset, header, shortest) if is_jpeg else _plain(dataset)
        return 255 - picture if dataset.PhotometricInterpretation == "MONOCHROME1" else picture


@contextmanager
def _named_faults() -> Iterator[None]:
    try:
        yield
    except InputFault:
        raise
    except UNDECODABLE as error:
        raise InputFault(f"not a readable DICOM ({error})") from error


def _size(dataset: Dataset) -> tuple[int, int]:
    missing = [name for name in ("Rows", "Columns") if not dataset.get(name)]
    if missing:
        raise InputFault(f"a DICOM without {' and '.join(missing)}: no picture")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise InputFault(f"a DICOM of {frames} frames; one picture per file is read")
    width, height = int(dataset.Columns), int(dataset.Rows)
    check_size(width, height)
    return width, height


def _check_pixels(stream: BinaryIO, start: int, file_bytes: int, syntax: UID) -> None:
    """Raise InputFault unless pixels begin at byte ``start`` and end within the file.

    The element's head (DICOM PS3.5, 7.1): tag (4 bytes); VR, 2 reserved bytes and length (4), or the length alone.
    """
    stream.seek(start)
    head = stream.read(12)
    order, head_bytes = "<" if syntax.is_little_endian else ">", 8 if syntax.is_implicit_VR else 12
    if len(head) < head_bytes or struct.unpack(order + "HH", head[:4])[0] != 0x7FE0:
        raise InputFault("a DICOM without pixels")
    (length,) = struct.unpack(order + "I", head[head_bytes - 4 : head_bytes])
    if length != UNDEFINED:
        if start + head_bytes + length > file_bytes:
            raise InputFault(f"cut off: {length} bytes of pixels are declared, {file_bytes - start - head_bytes} there")
        return
    stream.seek(max(start, file_bytes - TAIL))
    if END_OF_FRAGMENTS not in stream.read():
        raise InputFault("cut off: the end mark of the pixels is missing")


def _jpeg(dataset: Dataset, header: Header, shortest: int | None) -> Picture:
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    refuse_damage(io.BytesIO(frame))
    with open_image(io.BytesIO(frame)) as image:
        if image.size != (header.width, header.height):
            declared = f"{header.width} x {header.height}"
            raise InputFault(f"{declared} px are declared, its JPEG has {image.width} x {image.height}")
        shrink_decode(image, shortest)
        _settle_colours(image, str(dataset.PhotometricInterpretation))
        return decode(image)


def _settle_colours(image: ImageFile, photometric: str) -> None:
    """Tell libjpeg what colours a JPEG holds that does not say it itself; it would take all those for YCbCr."""
    says_itself = "jfif" in image.info or "adobe" in image.info
    if says_itself or image.mode != "RGB" or photometric not in COLOURS:
        return
    image.tile = [tile._replace(args=("RGB", COLOURS[photometric])) for tile in image.tile]


def _plain(dataset: Dataset) -> Picture:
    """Return the pixels that pydicom decodes, YBR already converted, as RGB."""
    bits = int(dataset.BitsStored)
    if bits > 16:
        raise InputFault(f"{bits} bits per sample; at most 16 are read")
    pixels = pixel_array(dataset)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        coloured: np.ndarray = apply_color_lut(pixels, dataset)
        return (coloured >> 8).astype(np.uint8) if coloured.dtype == np.uint16 else coloured
    eight = _to_eight_bits(pixels, bits)
    return np.repeat(eight[:, :, None], 3, axis=2) if eight.ndim == 2 else eight


def _to_eight_bits(pixels: np.ndarray, bits: int) -> Picture:
    if pixels.dtype == np.uint8 and bits == 8:
        return pixels
    offset = 1 << (bits - 1) if pixels.dtype.kind == "i" else 0  # signed: the darkest is the most negative
    levels = np.clip(pixels.astype(np.int64) + offset, 0, (1 << bits) - 1)
    return (levels * 255 // ((1 << bits) - 1)).astype(np.uint8)
