"""Read DICOM files of one picture each: the size without decoding, the pixels as RGB."""

import io
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

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
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
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

# Transfer syntaxes that libjpeg decodes; pydicom decodes the others.
LIBJPEG = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1)
SIZE_TAGS = ("Rows", "Columns", "NumberOfFrames")
UNDEFINED_LENGTH = 0xFFFFFFFF  # the length of encapsulated pixels, which end with a marker
END_OF_FRAGMENTS = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"
COLOURS = {
    "RGB": "RGB",
    "YBR_FULL": "YCbCr",
    "YBR_FULL_422": "YCbCr",
}  # photometric interpretation -> colour space of its JPEG
# AttributeError, TypeError: a tag is missing or empty; the others: pixels that pydicom cannot decode.
UNDECODABLE = (*UNREADABLE, AttributeError, TypeError, NotImplementedError, RuntimeError, InvalidDicomError)


def dicom_header(stream: BinaryIO) -> Header:
    """Return the size of the DICOM in ``stream`` without decoding its pixels.

    Raises InputFault if it has no pixels, several frames or an implausible size, or is cut off.
    """
    with _as_input_faults():
        dataset = _read(stream, stop_before_pixels=True, specific_tags=list(SIZE_TAGS))
        width, height = _size(dataset)
        start = stream.tell()
        file_bytes = stream.seek(0, io.SEEK_END)
        if (
            dataset.file_meta.TransferSyntaxUID != DeflatedExplicitVRLittleEndian
        ):  # its offsets are those of the inflated data
            _check_pixels(stream, start, file_bytes, dataset.file_meta.TransferSyntaxUID)
        return Header(width, height, file_bytes, "DICOM")


def dicom_tags(stream: BinaryIO, names: Iterable[str]) -> dict[str, str]:
    """Return the texts of the tags ``names`` of a DICOM, '' for a missing one; raise InputFault if it is unreadable."""
    with _as_input_faults():
        dataset = _read(stream, stop_before_pixels=True, specific_tags=list(names))
        return {name: str(dataset.get(name) or "").strip() for name in names}


def dicom_picture(stream: BinaryIO, shortest: int | None = None) -> Picture:
    """Return the pixels of the DICOM in ``stream`` as RGB, uint8 (height, width, 3).

    JPEG is decoded as in a .jpg file: reduced as long as its short side keeps at least ``shortest`` px, with the
    colour space of its own markers or else of the photometric interpretation. RGB, YBR, grey (also inverted) and
    palette pixels are read raw, run-length encoded or as JPEG 2000; more than 8 stored bits are reduced to 8, without
    windowing. Raises InputFault for no pixels, several frames, an implausible size, or pixels that cannot be decoded.
    """
    header = dicom_header(stream)  # refuses files that pydicom would read partly, with a warning
    stream.seek(0)
    with _as_input_faults():
        dataset = _read(stream)
        is_jpeg = dataset.file_meta.TransferSyntaxUID in LIBJPEG
        picture = _decode_jpeg(dataset, header, shortest) if is_jpeg else _decode_plain(dataset)
        return 255 - picture if dataset.PhotometricInterpretation == "MONOCHROME1" else picture


@contextmanager
def _as_input_faults() -> Iterator[None]:
    try:
        yield
    except InputFault:
        raise
    except UNDECODABLE as error:
        raise InputFault(f"not a readable DICOM ({error})") from error


def _read(stream: BinaryIO, **options: Any) -> Dataset:  # noqa: ANN401  those of dcmread
    """Return the DICOM in ``stream``; one without preamble may lack the transfer syntax, which its encoding implies."""
    dataset = dcmread(stream, force=True, **options)  # read.py has recognised it by its first bytes
    if "TransferSyntaxUID" not in dataset.file_meta:
        is_implicit, is_little_endian = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if is_little_endian else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else explicit
    return dataset


def _size(dataset: Dataset) -> tuple[int, int]:
    missing = [name for name in ("Rows", "Columns") if not dataset.get(name)]
    if missing:
        raise InputFault(f"a DICOM must have Rows and Columns; {' and '.join(missing)} missing")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise InputFault(f"a file must hold one picture; found a DICOM of {frames} frames")
    width, height = int(dataset.Columns), int(dataset.Rows)
    check_size(width, height)
    return width, height


def _check_pixels(stream: BinaryIO, start: int, file_bytes: int, syntax: UID) -> None:
    """Raise InputFault unless the pixels begin at byte ``start`` and end inside the file.

    Header of the element (DICOM PS3.5, 7.1): tag (4 bytes); then VR, 2 reserved bytes and length (4), or only length.
    """
    stream.seek(start)
    head = stream.read(12)
    order, head_bytes = "<" if syntax.is_little_endian else ">", 8 if syntax.is_implicit_VR else 12
    if len(head) < head_bytes or struct.unpack(order + "HH", head[:4])[0] != 0x7FE0:
        raise InputFault("a DICOM without pixels")
    (length,) = struct.unpack(order + "I", head[head_bytes - 4 : head_bytes])
    if length != UNDEFINED_LENGTH:
        if start + head_bytes + length > file_bytes:
            raise InputFault(f"cut off: {length} bytes of pixels are declared, found {file_bytes - start - head_bytes}")
        return
    stream.seek(max(start, file_bytes - TAIL))
    if END_OF_FRAGMENTS not in stream.read():
        raise InputFault("cut off: the end marker of the pixels is missing")


def _decode_jpeg(dataset: Dataset, header: Header, shortest: int | None) -> Picture:
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    refuse_damage(io.BytesIO(frame))
    with open_image(io.BytesIO(frame)) as image:
        if image.size != (header.width, header.height):
            declared_size = f"{header.width} x {header.height}"
            raise InputFault(f"{declared_size} px are declared, but its JPEG has {image.width} x {image.height}")
        shrink_decode(image, shortest)
        _set_colour_space(image, str(dataset.PhotometricInterpretation))
        return decode(image)


def _set_colour_space(image: ImageFile, photometric: str) -> None:
    """Set the colour space of a JPEG without markers for it, which libjpeg would read as YCbCr."""
    has_marker = "jfif" in image.info or "adobe" in image.info
    if has_marker or image.mode != "RGB" or photometric not in COLOURS:
        return
    image.tile = [tile._replace(args=("RGB", COLOURS[photometric])) for tile in image.tile]


def _decode_plain(dataset: Dataset) -> Picture:
    """Return the pixels as RGB, decoded by pydicom, which also converts YBR."""
    bits = int(dataset.BitsStored)
    if bits > 16:
        raise InputFault(f"a sample must have at most 16 bits; found {bits}")
    pixels = pixel_array(dataset)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        colours: np.ndarray = apply_color_lut(pixels, dataset)
        return (colours >> 8).astype(np.uint8) if colours.dtype == np.uint16 else colours
    eight = _to_eight_bits(pixels, bits)
    return np.repeat(eight[:, :, None], 3, axis=2) if eight.ndim == 2 else eight


def _to_eight_bits(pixels: np.ndarray, bits: int) -> Picture:
    if pixels.dtype == np.uint8 and bits == 8:
        return pixels
    offset = 1 << (bits - 1) if pixels.dtype.kind == "i" else 0  # signed values: the most negative one is the darkest
    eight = np.empty(pixels.shape, np.uint8)
    for rows, own in zip(pixels, eight, strict=True):  # row by row: eight bytes per sample of all rows fill a memory
        levels = np.clip(rows.astype(np.int64) + offset, 0, (1 << bits) - 1)
        own[...] = levels * 255 // ((1 << bits) - 1)
    return eight
