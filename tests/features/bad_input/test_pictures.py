"""Tests of the section "Pictures" of docs/bad_input.md."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from features.cases.case_table import read_cases
from features.folder.layout import Request
from features.pictures.scan import measure_pictures, scan
from tests.features.bad_input.table import check, outcome_of
from tests.features.pictures.dicom_files import PICTURE, write_dicom
from tests.features.small_clinic import draw_picture

Make = Callable[[Path], object]  # its argument is the path of a1.jpg, a valid JPEG of 48 x 32 px


def pixels(width: int = 48, height: int = 32) -> Image.Image:
    noise = np.random.default_rng(1).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def save_as(mode: str = "RGB", kind: str = "JPEG", **options: object) -> Make:
    """Return a function that stores the picture in another mode or file type, under the same name."""
    return lambda path: pixels().convert(mode).save(path, kind, **options)


def as_png(mode: str, **options: object) -> Make:
    def make(path: Path) -> None:
        path.unlink()
        pixels().convert(mode).save(path.with_suffix(".png"), **options)

    return make


def cut(share: float) -> Make:
    return lambda path: path.write_bytes(path.read_bytes()[: int(share * len(path.read_bytes()))])


def overwrite_scan(path: Path) -> None:
    """Overwrite a tenth of the scan with other bytes, as a damaged disk does."""
    pixels(400, 300).save(path, "JPEG", quality=90)
    content = bytearray(path.read_bytes())
    start, count = len(content) // 2, len(content) // 10
    content[start : start + count] = np.random.default_rng(2).bytes(count)
    path.write_bytes(content)


def zero_scan(path: Path) -> None:
    """Overwrite a part of the scan with zeros, which are valid codes of pixels."""
    pixels(400, 300).save(path, "JPEG", quality=90)
    content = bytearray(path.read_bytes())
    content[20_000:22_000] = bytes(2000)
    path.write_bytes(content)


def damaged_png(path: Path) -> None:
    as_png("RGB")(path)
    content = bytearray(path.with_suffix(".png").read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.with_suffix(".png").write_bytes(content)


def save_animation(kind: str) -> Make:
    frames = [pixels().quantize(16) if kind == "GIF" else pixels(), Image.new("RGB", (48, 32))]
    return lambda path: frames[0].save(path, kind, save_all=True, append_images=frames[1:])


def bomb_by_header(path: Path) -> None:
    """Change the size in a JPEG's frame to 65,000 x 65,000."""
    content = path.read_bytes()
    position = content.index(b"\xff\xc0") + 5
    path.write_bytes(content[:position] + struct.pack(">HH", 65_000, 65_000) + content[position + 4 :])


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def bomb_by_compression(path: Path) -> None:
    """Write a PNG of 30,000 x 30,000 px in some kilobytes."""
    head = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(30_000 * 3751), 1)
    chunks = png_chunk(b"IHDR", head) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def bomb_in_text(path: Path) -> None:
    """Put 300 MB of compressed zeros into a PNG's text."""
    buffer = io.BytesIO()
    pixels().save(buffer, "PNG")
    bomb = png_chunk(b"zTXt", b"note\x00\x00" + zlib.compress(bytes(300_000_000), 1))
    path.write_bytes(buffer.getvalue()[:33] + bomb + buffer.getvalue()[33:])


def save_with_exif_rotation(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels().save(path, "JPEG", exif=exif)


def replace_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parent / "nowhere.jpg")


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def dicom(**tags: object) -> Make:
    def make(path: Path) -> None:
        path.unlink()
        content = PICTURE.tobytes() if tags.get("SamplesPerPixel") != 1 else PICTURE[:, :, 0].tobytes()
        write_dicom(path.with_suffix(".dcm"), content * int(str(tags.get("NumberOfFrames", 1))), **tags)

    return make


def without_pixels(path: Path) -> None:
    from pydicom import dcmread

    dicom()(path)
    dataset = dcmread(path.with_suffix(".dcm"))
    del dataset.PixelData
    dataset.save_as(path.with_suffix(".dcm"))


def dicom_called_jpg(path: Path) -> None:
    write_dicom(path, PICTURE.tobytes())


PICTURES: dict[str, Make] = {
    "picture_jpeg_cut": cut(0.6),
    "picture_png_cut": lambda path: (as_png("RGB")(path), cut(0.6)(path.with_suffix(".png"))),
    "picture_empty": lambda path: path.write_bytes(b""),
    "picture_zeros": lambda path: path.write_bytes(bytes(5000)),
    "picture_overwritten": overwrite_scan,
    "picture_partly_zeros": zero_scan,
    "picture_png_damaged": damaged_png,
    "picture_cmyk": save_as("CMYK"),
    "picture_grey": save_as("L"),
    "picture_palette": as_png("P"),
    "picture_sixteen_bits": lambda path: (
        path.unlink(),
        Image.fromarray(np.full((32, 48), 0x80FF, np.uint16)).save(path.with_suffix(".png")),
    ),
    "picture_alpha": as_png("RGBA"),
    "picture_animated_png": lambda path: (path.unlink(), save_animation("PNG")(path.with_suffix(".png"))),
    "picture_animated_gif": save_animation("GIF"),
    "picture_animated_webp": save_animation("WEBP"),
    "picture_rotated_by_exif": save_with_exif_rotation,
    "picture_progressive": save_as(progressive=True),
    "picture_invalid_colour_profile": save_as(icc_profile=b"no profile"),
    "picture_png_called_jpg": save_as(kind="PNG"),
    "picture_tiff_called_jpg": save_as(kind="TIFF"),
    "picture_bmp_called_jpg": save_as(kind="BMP"),
    "picture_webp_called_jpg": save_as(kind="WEBP"),
    "picture_heic_called_jpg": lambda path: path.write_bytes(b"\x00\x00\x00\x18ftypheic" + bytes(100)),
    "picture_text_called_jpg": lambda path: path.write_text("image_name,target\n"),
    "picture_web_page_called_jpg": lambda path: path.write_text("<html>404</html>"),
    "picture_other_suffix": lambda path: (pixels().save(path.with_suffix(".webp")), path.unlink()),
    "picture_upper_case_suffix": lambda path: path.rename(path.with_suffix(".JPG")),
    "picture_bomb_by_header": bomb_by_header,
    "picture_bomb_by_compression": bomb_by_compression,
    "picture_bomb_in_text": bomb_in_text,
    "picture_one_pixel": lambda path: draw_picture(path, (1, 1)),
    "picture_strip": lambda path: draw_picture(path, (900, 12)),
    "picture_link_to_nowhere": replace_by_link,
    "picture_folder": replace_by_folder,
    "picture_twice": lambda path: draw_picture(path.with_suffix(".png")),
    "picture_missing": lambda path: path.unlink(),
    "picture_without_row": lambda path: draw_picture(path.with_name("c1.jpg")),
    "dicom_without_pixels": without_pixels,
    "dicom_of_two_frames": dicom(NumberOfFrames=2),
    "dicom_inverted_grey": dicom(SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME1"),
    "dicom_called_jpg": dicom_called_jpg,
}


def read_all(data: Path, notes: list[str]) -> object:
    """Read the case table and decode every picture, as a run does before any training."""
    cases = read_cases(Request(data, folds=2), notes)
    return measure_pictures(scan({str(name): data / path for name, path in cases["picture"].items()}, jobs=1))


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_has_the_outcome_of_the_page(name: str, data: Path) -> None:
    PICTURES[name](data / "jpeg" / "train" / "a1.jpg")
    check(name, outcome_of(lambda notes: read_all(data, notes)))


def test_every_unreadable_picture_is_counted(data: Path) -> None:
    for path in data.glob("jpeg/train/*.jpg"):
        path.write_bytes(b"")
    outcome, message, _ = outcome_of(lambda notes: read_cases(Request(data, folds=2), notes))
    assert outcome == "refused"
    assert "jpeg/train: unreadable pictures: 4 (a1, a2, b1, b2); the first: " in message
