"""Tests of DICOM files: every way to store colours gives the original colours, and a JPEG gives its own pixels."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.pixels import convert_color_space
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from features.pictures.read import Header, read_header, read_picture
from runtime.errors import InputFault
from tests.features.pictures.dicom_files import HEIGHT, PICTURE, WIDTH, write_dicom, write_jpeg_dicom
from tests.features.pictures.lesion_pictures import lesion

GREY = PICTURE[:, :, 1]


def jpeg_of(picture: np.ndarray, mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).convert(mode).save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()


def pixels_of(jpeg: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))


def without_markers(jpeg: bytes) -> bytes:
    """Return a JPEG without JFIF and Adobe segments and with numbered components: its colour space is unknown."""
    segments, position = jpeg[:2], 2
    while jpeg[position + 1] != 0xDA:
        length = 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")
        if jpeg[position + 1] not in (0xE0, 0xEE):
            segments += jpeg[position : position + length]
        position += length
    plain = segments + jpeg[position:]
    for number, letter in enumerate(b"RGB", start=1):  # in the headers of the frame and of the scan
        plain = plain.replace(bytes([letter, 0x11, 0]), bytes([number, 0x11, 0]), 1)
        plain = plain.replace(bytes([letter, 0]), bytes([number, 0]), 1)
    return plain


@pytest.mark.parametrize("subsampling", ["4:2:2", "4:4:4", "4:2:0"])
def test_a_dicom_like_those_of_the_contest_gives_the_pixels_of_its_jpeg(tmp_path: Path, subsampling: str):
    jpeg = jpeg_of(PICTURE, subsampling=subsampling)
    path = write_jpeg_dicom(tmp_path / "a.dcm", jpeg, PhotometricInterpretation="YBR_FULL_422")

    np.testing.assert_array_equal(read_picture(path), pixels_of(jpeg))
    assert read_header(path) == Header(WIDTH, HEIGHT, path.stat().st_size)


def test_a_jpeg_in_several_fragments_is_joined(tmp_path: Path):
    jpeg = jpeg_of(PICTURE)
    frame = encapsulate([jpeg], fragments_per_frame=3, has_bot=False)
    path = write_dicom(tmp_path / "a.dcm", frame, JPEGBaseline8Bit, PhotometricInterpretation="YBR_FULL_422")

    np.testing.assert_array_equal(read_picture(path), pixels_of(jpeg))


@pytest.mark.parametrize("options", [{}, {"keep_rgb": True}])
def test_the_markers_of_a_jpeg_set_its_colour_space_even_if_the_tag_says_rgb(tmp_path: Path, options: dict):
    jpeg = jpeg_of(PICTURE, **options)
    path = write_jpeg_dicom(tmp_path / "a.dcm", jpeg, PhotometricInterpretation="RGB")

    pixels = read_picture(path)
    np.testing.assert_array_equal(pixels, pixels_of(jpeg))
    assert np.abs(pixels.astype(int) - PICTURE).mean() < 6


@pytest.mark.parametrize(("options", "photometric"), [({"keep_rgb": True}, "RGB"), ({}, "YBR_FULL_422")])
@pytest.mark.parametrize("shortest", [None, 32])
def test_the_tag_sets_the_colour_space_of_a_jpeg_without_markers(
    tmp_path: Path, options: dict, photometric: str, shortest: int | None
):
    bare = without_markers(jpeg_of(PICTURE, subsampling=0, **options))
    path = write_jpeg_dicom(tmp_path / "a.dcm", bare, PhotometricInterpretation=photometric)

    pixels = read_picture(path, shortest=shortest)
    expected = np.asarray(Image.fromarray(PICTURE).resize(pixels.shape[1::-1], Image.Resampling.BOX))
    assert np.abs(pixels.astype(int) - expected).mean() < 6


def test_the_jpeg_in_a_dicom_is_decoded_at_a_reduced_size_like_a_jpeg_file(tmp_path: Path):
    jpeg = jpeg_of(lesion(400, 300))
    (tmp_path / "a.jpg").write_bytes(jpeg)
    path = write_jpeg_dicom(tmp_path / "a.dcm", jpeg, Rows=300, Columns=400, PhotometricInterpretation="YBR_FULL_422")

    pixels = read_picture(path, shortest=70)
    assert pixels.shape == (75, 100, 3)
    np.testing.assert_array_equal(pixels, read_picture(tmp_path / "a.jpg", shortest=70))


def planar(picture: np.ndarray) -> bytes:
    return picture.transpose(2, 0, 1).tobytes()


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize(
    ("pixels", "tags"),
    [
        (PICTURE.tobytes(), {}),
        (planar(PICTURE), {"PlanarConfiguration": 1}),
    ],
)
def test_plain_rgb_is_read_unchanged(tmp_path: Path, syntax: UID, pixels: bytes, tags: dict):
    path = write_dicom(tmp_path / "a.dcm", pixels, syntax, **tags)

    np.testing.assert_array_equal(read_picture(path), PICTURE)
    assert read_header(path) == Header(WIDTH, HEIGHT, path.stat().st_size)


def test_plain_ybr_is_converted_to_rgb(tmp_path: Path):
    ybr = convert_color_space(PICTURE, "RGB", "YBR_FULL")
    path = write_dicom(tmp_path / "a.dcm", ybr.tobytes(), PhotometricInterpretation="YBR_FULL")

    assert np.abs(read_picture(path).astype(int) - PICTURE).max() <= 2


def write_compressed_dicom(path: Path, syntax: UID, **tags: object) -> Path:
    write_dicom(path, PICTURE.tobytes(), **tags)
    dataset = dcmread(path)
    dataset.compress(syntax, encoding_plugin="pydicom")
    dataset.save_as(path)
    return path


def test_run_length_encoded_pixels_are_read_unchanged(tmp_path: Path):
    path = write_compressed_dicom(tmp_path / "a.dcm", RLELossless)

    np.testing.assert_array_equal(read_picture(path), PICTURE)
    assert read_header(path).width == WIDTH


def test_lossless_jpeg_2000_is_read_unchanged(tmp_path: Path):
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, "JPEG2000", irreversible=False, no_jp2=True, mct=1)
    frame = encapsulate([buffer.getvalue()])
    path = write_dicom(tmp_path / "a.dcm", frame, JPEG2000Lossless, PhotometricInterpretation="YBR_RCT")

    np.testing.assert_array_equal(read_picture(path), PICTURE)


@pytest.mark.parametrize("store", ["plain", "jpeg"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_grey_is_converted_to_rgb_and_inverted_grey_is_inverted_back(tmp_path: Path, store: str, photometric: str):
    tags = {"SamplesPerPixel": 1, "PhotometricInterpretation": photometric}
    if store == "plain":
        path = write_dicom(tmp_path / "a.dcm", GREY.tobytes(), **tags)
    else:
        path = write_jpeg_dicom(tmp_path / "a.dcm", jpeg_of(GREY, "L"), **tags)

    pixels = read_picture(path).astype(int)
    expected = 255 - GREY.astype(int) if photometric == "MONOCHROME1" else GREY.astype(int)
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(pixels - expected[:, :, None]).mean() < (0.1 if store == "plain" else 4)


@pytest.mark.parametrize(("bits", "sign"), [(16, 0), (12, 0), (12, 1)])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_more_than_eight_bits_are_reduced_to_eight(tmp_path: Path, bits: int, sign: int, syntax: UID):
    full = (1 << bits) - 1
    levels = np.round(GREY.astype(float) / 255 * full).astype(int) - (sign << (bits - 1))
    order = "<" if syntax == ExplicitVRLittleEndian else ">"
    tags = {"BitsAllocated": 16, "BitsStored": bits, "HighBit": bits - 1, "PixelRepresentation": sign}
    pixels = levels.astype(f"{order}i4").astype(f"{order}{'i' if sign else 'u'}2").tobytes()
    path = write_dicom(
        tmp_path / "a.dcm", pixels, syntax, SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", **tags
    )

    assert np.abs(read_picture(path)[:, :, 0].astype(int) - GREY).max() <= 1


def test_a_palette_is_replaced_by_its_colours(tmp_path: Path):
    image = Image.fromarray(PICTURE).quantize(256)
    palette = np.zeros((256, 3), np.uint8)
    colours = np.array(image.getpalette(), np.uint8).reshape(-1, 3)
    palette[: len(colours)] = colours
    tags: dict[str, object] = {"SamplesPerPixel": 1, "PhotometricInterpretation": "PALETTE COLOR"}
    for number, name in enumerate(("Red", "Green", "Blue")):
        tags[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tags[f"{name}PaletteColorLookupTableData"] = (palette[:, number].astype("<u2") * 257).tobytes()
    path = write_dicom(tmp_path / "a.dcm", np.asarray(image).tobytes(), **tags)

    np.testing.assert_array_equal(read_picture(path), palette[np.asarray(image)])


def cut_end(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-300])
    return path


def with_wrong_size(path: Path) -> Path:
    return write_jpeg_dicom(path, jpeg_of(lesion(40, 30)), PhotometricInterpretation="YBR_FULL_422")


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda path: write_dicom(path, PICTURE.tobytes() * 2, NumberOfFrames=2), "a DICOM of 2 frames"),
        (lambda path: write_dicom(path, PICTURE.tobytes(), Rows=60_000, Columns=60_000), "at most 200 megapixels"),
        (lambda path: write_dicom(path, PICTURE.tobytes(), Rows=4), "at least 8 px"),
        (
            lambda path: write_dicom(path, PICTURE.tobytes(), Rows=None),
            "a DICOM must have Rows and Columns; Rows missing",
        ),
    ],
)
@pytest.mark.parametrize("read", [read_header, read_picture])
def test_a_dicom_that_is_not_one_picture_is_refused_before_it_is_decoded(
    tmp_path: Path, make: Callable[[Path], Path], complaint: str, read: Callable[[Path], object]
):
    with pytest.raises(InputFault, match=rf"wrong\.dcm: .*{complaint}"):
        read(make(tmp_path / "wrong.dcm"))


@pytest.mark.parametrize(
    "make",
    [
        lambda path: write_dicom(path, PICTURE.tobytes()),
        lambda path: write_dicom(path, PICTURE.tobytes(), ImplicitVRLittleEndian),
        lambda path: write_jpeg_dicom(path, jpeg_of(PICTURE), PhotometricInterpretation="YBR_FULL_422"),
    ],
)
def test_a_cut_file_is_refused_when_its_header_or_its_pixels_are_read(tmp_path: Path, make: Callable[[Path], Path]):
    path = cut_end(make(tmp_path / "cut.dcm"))

    for read in (read_header, read_picture):
        with pytest.raises(InputFault, match=r"cut\.dcm: cut off"):
            read(path)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (with_wrong_size, "96 x 64 px are declared, but its JPEG has 40 x 30"),
        (lambda path: write_jpeg_dicom(path, b"nothing sensible"), "not a JPEG, PNG or DICOM"),
        (lambda path: write_dicom(path, PICTURE.tobytes(), Rows=HEIGHT + 8), "cut off|not a readable DICOM"),
        (lambda path: write_dicom(path, encapsulate([b"x" * 99]), JPEGLSLossless), "not a readable DICOM"),
        (lambda path: write_dicom(path, encapsulate([b"x" * 99]), RLELossless), "not a readable DICOM"),
    ],
)
def test_pixels_that_contradict_the_tags_are_refused(tmp_path: Path, make: Callable[[Path], Path], complaint: str):
    with pytest.raises(InputFault, match=rf"wrong\.dcm: .*({complaint})"):
        read_picture(make(tmp_path / "wrong.dcm"))
