"""Pictures that attack a decoder: small files that take much time or memory, for tests and trials of the server."""

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache

from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, SecondaryCaptureImageStorage

SIDE = 7700  # px; just below the 60 megapixels that the server accepts
PACKED_ZEROS = b"\x81\x00"  # PackBits: 128 zeros
END_OF_JPEG, START_OF_SCAN = b"\xff\xd9", b"\xff\xda"


def jpeg_of_many_scans(scans: int = 2000, side: int = SIDE) -> bytes:
    """Return a progressive JPEG whose last scan is repeated; libjpeg visits every block of the picture in each."""
    stream = io.BytesIO()
    Image.new("L", (side, side), 90).save(stream, "JPEG", progressive=True)
    whole = stream.getvalue()
    start = whole.rindex(START_OF_SCAN)
    scan = whole[start : start + 12]  # the header of the scan and two bytes; libjpeg adds zeros to them
    return whole[: -len(END_OF_JPEG)] + scan * scans + END_OF_JPEG


def jpeg_of_many_comments(comments: int = 400_000) -> bytes:
    """Return a JPEG with very many empty comments, which are read one by one."""
    stream = io.BytesIO()
    Image.new("RGB", (64, 64)).save(stream, "JPEG")
    whole = stream.getvalue()
    return whole[:2] + b"\xff\xfe\x00\x02" * comments + whole[2:]


def flat_png(side: int = SIDE, channels: int = 1, bits: int = 8) -> bytes:
    """Return a PNG of one colour, ``side`` x ``side`` px: a thousandth of its pixels' bytes."""
    colour_types = {1: 0, 3: 2, 4: 6}
    head = struct.pack(">IIBBBBB", side, side, bits, colour_types[channels], 0, 0, 0)
    packer = zlib.compressobj(9)
    rows = bytes(1 + side * channels * bits // 8)
    stream_bytes = b"".join(packer.compress(rows) for _ in range(side)) + packer.flush()
    return _png(head, [(b"IDAT", stream_bytes)])


def png_of_texts(texts: int = 200, megabytes: int = 1) -> bytes:
    """Return a PNG with packed texts, each a thousand times as long as in the file."""
    stream_bytes = b"Comment\x00\x00" + zlib.compress(bytes(megabytes * 1_000_000), 9)
    head = struct.pack(">IIBBBBB", 16, 16, 8, 0, 0, 0, 0)
    return _png(head, [*[(b"zTXt", stream_bytes)] * texts, (b"IDAT", zlib.compress(bytes(17 * 16)))])


def rle_dicom(side: int = SIDE, channels: int = 3, bits: int = 16) -> bytes:
    """Return a DICOM of zeros, run-length encoded to a sixty-fourth of its pixels' bytes."""
    planes = channels * bits // 8
    plane = PACKED_ZEROS * -(-side * side // 128)
    offsets = [64 + number * len(plane) for number in range(planes)]
    frame = struct.pack("<16I", planes, *offsets, *[0] * (15 - planes)) + plane * planes
    return _dicom(side, channels, bits, encapsulate([frame]), RLELossless)


def dicom_of_many_frames(frames: int = 5000) -> bytes:
    """Return a DICOM that declares ``frames`` pictures."""
    return _dicom(64, 1, 8, bytes(64 * 64), ExplicitVRLittleEndian, NumberOfFrames=frames)


def dicom_of_many_elements(elements: int = 1_500_000) -> bytes:
    """Return a DICOM with very many empty private elements before its pixels, which are read one by one."""
    whole = _dicom(64, 1, 8, bytes(64 * 64), ExplicitVRLittleEndian)
    pixels = whole.index(b"\xe0\x7f\x10\x00OW")
    groups = range(0x0029, 0x0029 + 2 * -(-elements // 0xEFFF), 2)
    numbers = ((group, number) for group in groups for number in range(0x1000, 0xFFFF))
    extra = b"".join(struct.pack("<HH2sH", group, number, b"SH", 0) for group, number in list(numbers)[:elements])
    return whole[:pixels] + extra + whole[pixels:]


def dicom_of_nested_sequences(depth: int = 20_000) -> bytes:
    """Return a DICOM with a sequence inside a sequence, ``depth`` times."""
    whole = _dicom(64, 1, 8, bytes(64 * 64), ExplicitVRLittleEndian)
    pixels = whole.index(b"\xe0\x7f\x10\x00OW")
    sequence = struct.pack("<HH2sHI", 0x0029, 0x1010, b"SQ", 0, 0xFFFFFFFF)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    return whole[:pixels] + (sequence + item) * depth + whole[pixels:]


def packed_bmp(side: int = SIDE) -> bytes:
    """Return a BMP of one colour, run-length encoded, whose rows end at once."""
    palette = bytes(4 * 256)
    rows = b"\x00\x00" * side + b"\x00\x01"
    start = 14 + 40 + len(palette)
    head = struct.pack("<2sIHHI", b"BM", start + len(rows), 0, 0, start)
    return head + struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(rows), 1, 1, 256, 0) + palette + rows


def animated_gif(frames: int = 2000) -> bytes:
    """Return a GIF of many frames that declares a very large picture."""
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02D\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6) + frame * frames + b";"


def large_tiff(side: int = 60_000) -> bytes:
    """Return a TIFF that declares a very large picture in one strip of a few bytes."""
    entries = ((256, 4, side), (257, 4, side), (258, 3, 8), (259, 3, 32773), (262, 3, 1), (273, 4, 8), (279, 4, 2))
    table = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\x00" + struct.pack("<I", 10) + PACKED_ZEROS + struct.pack("<H", len(entries)) + table + bytes(4)


ATTACKS: dict[str, Callable[[], bytes]] = {
    "progressive JPEG, 2,000 scans": jpeg_of_many_scans,
    "JPEG, 400,000 comments": jpeg_of_many_comments,
    "PNG of one grey, 59 megapixels": flat_png,
    "PNG of one colour, 59 megapixels of 4 x 16 bits": lambda: flat_png(channels=4, bits=16),
    "PNG, 200 packed texts of 1 MB": png_of_texts,
    "RLE DICOM, 59 megapixels of 3 x 16 bits": rle_dicom,
    "DICOM, 5,000 frames": dicom_of_many_frames,
    "DICOM, 1,500,000 elements": dicom_of_many_elements,
    "DICOM, 20,000 nested sequences": dicom_of_nested_sequences,
    "BMP, run-length encoded, 59 megapixels": packed_bmp,
    "GIF, 2,000 frames": animated_gif,
    "TIFF, 3,600 megapixels": large_tiff,
}


@cache
def attack_file(name: str) -> bytes:
    """Return the picture of the attack ``name``, made once."""
    return ATTACKS[name]()


def _png(head: bytes, chunks: list[tuple[bytes, bytes]]) -> bytes:
    parts = [(b"IHDR", head), *chunks, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts
    )


def _dicom(side: int, channels: int, bits: int, pixels: bytes, syntax: str, **tags: object) -> bytes:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.Rows = dataset.Columns = side
    dataset.SamplesPerPixel, dataset.PixelRepresentation = channels, 0
    dataset.PhotometricInterpretation = "RGB" if channels == 3 else "MONOCHROME2"
    dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.PixelData = pixels
    dataset["PixelData"].VR = "OW"
    dataset["PixelData"].is_undefined_length = syntax == RLELossless
    stream = DicomBytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return bytes(stream.getvalue())
