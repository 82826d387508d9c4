"""Tests of reading pictures: invalid files are refused with a reason, and valid ones give RGB pixels."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from features.pictures.read import (
    Header,
    encode_jpeg,
    picture_kind,
    read_header,
    read_picture,
    resize_square,
    stored_jpeg,
)
from features.pictures.tfrecord import iterate_records
from runtime.errors import InputFault
from tests.features.pictures.lesion_pictures import lesion, save_picture
from tests.features.pictures.tfrecord_files import write_records


@pytest.fixture
def jpeg(tmp_path: Path) -> Path:
    return save_picture(tmp_path / "a.jpg", lesion(400, 300), quality=90)


def test_the_header_has_the_size_in_pixels_and_bytes(jpeg: Path, tmp_path: Path):
    png = save_picture(tmp_path / "a.png", lesion(31, 47))

    assert read_header(jpeg) == Header(400, 300, jpeg.stat().st_size)
    assert read_header(png) == Header(31, 47, png.stat().st_size)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "the file is empty"),
        (b"image_name,target\n", "not a JPEG, PNG or DICOM"),
        (b"GIF89a" + bytes(100), "not a JPEG, PNG or DICOM"),
        (b"\xff\xd8\xff\xe0 and nothing sensible", "not a readable picture"),
        (b"\x89PNG\r\n\x1a\n", "not a readable picture"),
    ],
)
@pytest.mark.parametrize("read", [read_header, read_picture])
def test_a_file_that_is_not_a_picture_is_refused_by_name(read, content: bytes, complaint: str, tmp_path: Path):
    path = tmp_path / "wrong.jpg"
    path.write_bytes(content)

    with pytest.raises(InputFault, match=f"wrong.jpg.*{complaint}"):
        read(path)


@pytest.mark.parametrize("read", [read_header, read_picture])
def test_a_missing_picture_is_reported_as_missing(read, tmp_path: Path):
    with pytest.raises(InputFault, match=r"nowhere.jpg: the picture does not exist"):
        read(tmp_path / "nowhere.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("share", [0.3, 0.95])
def test_a_cut_picture_is_refused_when_its_header_or_its_pixels_are_read(suffix: str, share: float, tmp_path: Path):
    path = save_picture(tmp_path / f"cut.{suffix}", lesion(400, 300))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])

    with pytest.raises(InputFault, match=f"cut.{suffix}: cut off"):
        read_header(path)
    with pytest.raises(InputFault, match=f"cut.{suffix}: not a readable picture"):
        read_picture(path, shortest=75)


def test_the_end_marker_of_a_thumbnail_does_not_hide_that_the_picture_is_cut_off(tmp_path: Path):
    thumbnail = encode_jpeg(lesion(40, 30))
    path = save_picture(tmp_path / "thumb.jpg", lesion(400, 300), comment=thumbnail)
    content = path.read_bytes()
    assert read_header(path).width == 400

    path.write_bytes(content[:-20])

    with pytest.raises(InputFault, match="cut off"):
        read_header(path)


def test_notes_that_a_camera_appends_are_accepted(jpeg: Path):
    jpeg.write_bytes(jpeg.read_bytes() + bytes(2000) + b"camera notes")

    assert read_header(jpeg).height == 300


def test_an_icon_and_a_decompression_bomb_are_refused(tmp_path: Path):
    icon = save_picture(tmp_path / "icon.png", lesion(7, 40))
    bomb = tmp_path / "bomb.png"
    Image.new("1", (20_001, 10_000)).save(bomb)

    with pytest.raises(InputFault, match=r"icon.png: 7 x 40 px; each side must have at least 8"):
        read_header(icon)
    with pytest.raises(InputFault, match=r"bomb.png: 20001 x 10000 px; a picture must have at most 200 megapixels"):
        read_picture(bomb)


def test_a_picture_above_the_limit_of_pillow_but_not_ours_is_read(tmp_path: Path):
    path = tmp_path / "large.png"
    Image.new("1", (20_000, 9_500)).save(path)

    assert read_header(path).width == 20_000


def test_png_pixels_are_read_unchanged(tmp_path: Path):
    picture = lesion(40, 30)

    np.testing.assert_array_equal(read_picture(save_picture(tmp_path / "a.png", picture)), picture)


@pytest.mark.parametrize(
    ("mode", "suffix"), [("L", "jpg"), ("L", "png"), ("CMYK", "jpg"), ("P", "png"), ("RGBA", "png")]
)
def test_every_colour_mode_is_converted_to_rgb(mode: str, suffix: str, tmp_path: Path):
    picture = lesion(64, 48)
    pixels = read_picture(save_picture(tmp_path / f"a.{suffix}", picture, mode))

    expected = Image.fromarray(picture).convert("L").convert("RGB") if mode == "L" else picture
    assert pixels.shape == (48, 64, 3)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - np.asarray(expected).astype(int)).mean() < 20


def test_a_palette_with_a_transparent_entry_is_converted_to_rgb(tmp_path: Path):
    path = save_picture(tmp_path / "a.png", lesion(64, 48), "P", transparency=bytes([0, 128, 255]))

    assert read_picture(path).shape == (48, 64, 3)


def test_sixteen_bits_are_reduced_to_eight(tmp_path: Path):
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((20, 30), 0x80FF, dtype=np.uint16)).save(path)

    assert (read_picture(path) == 0x80).all()


def test_the_exif_orientation_is_ignored(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save_picture(tmp_path / "turned.jpg", lesion(400, 300), exif=exif)

    assert read_picture(path).shape == (300, 400, 3)
    assert read_header(path).width == 400


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (300, 400)),
        ({"shortest": 150}, (150, 200)),
        ({"shortest": 151}, (300, 400)),
        ({"shortest": 70}, (75, 100)),
        ({"shortest": 30}, (38, 50)),
        ({"shortest": 4000}, (300, 400)),
    ],
)
def test_a_large_jpeg_is_decoded_at_a_reduced_size_but_never_below_the_requested_one(
    jpeg: Path, options: dict, shape: tuple
):
    small = read_picture(jpeg, **options)

    assert small.shape[:2] == shape
    full = np.asarray(Image.open(jpeg).resize(shape[::-1], Image.Resampling.BOX)).astype(int)
    assert np.abs(small.astype(int) - full).mean() < 3


@pytest.mark.parametrize("size", [16, 100, 500])
def test_a_square_holds_the_whole_picture(size: int):
    picture = np.zeros((120, 200, 3), np.uint8)
    picture[60:], picture[:, 100:, 0] = 90, 255
    square = resize_square(picture, size)

    assert square.shape == (size, size, 3)
    assert square[0, 0].tolist() == [0, 0, 0]
    assert square[-1, 0].tolist() == [90, 90, 90]
    assert square[-1, -1].tolist() == [255, 90, 90]


def test_shrinking_averages_instead_of_skipping_pixels():
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 200

    inner = resize_square(stripes, 64)[:, 4:-4]
    assert abs(inner.astype(int) - 100).max() <= 3


def test_jpegs_are_deterministic_and_keep_full_colour_resolution():
    picture = lesion(64, 64)
    content = encode_jpeg(picture)

    assert content == encode_jpeg(picture)
    assert [component[1:3] for component in Image.open(io.BytesIO(content)).layer] == [(1, 1)] * 3
    assert len(encode_jpeg(picture, quality=50)) < len(content)


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """Return the path of a square JPEG, the second picture of a TFRecord file."""
    first = {"image": encode_jpeg(lesion(400, 300)), "image_name": b"a", "width": 6000, "height": 4000}
    path = write_records(
        tmp_path / "train00-2.tfrec", [first, {"image": encode_jpeg(lesion(96, 96)), "image_name": b"b"}]
    )
    (_, _), (second, _) = iterate_records(path)
    return Path(f"{path}@{second}")


def test_a_picture_inside_a_tfrecord_is_read_like_a_file(records: Path):
    whole = np.asarray(Image.open(io.BytesIO(encode_jpeg(lesion(96, 96)))))

    np.testing.assert_array_equal(read_picture(records), whole)
    assert read_header(records) == Header(96, 96, len(encode_jpeg(lesion(96, 96))))
    assert read_picture(records, shortest=40).shape == (48, 48, 3)


def test_width_and_height_of_a_record_are_those_of_the_original(records: Path):
    first = Path(str(records).split("@")[0] + "@0")

    assert read_header(first) == Header(6000, 4000, len(encode_jpeg(lesion(400, 300))))
    assert read_picture(first).shape == (300, 400, 3)


def test_a_stored_square_of_the_requested_size_is_returned_byte_for_byte(records: Path, jpeg: Path):
    first = Path(str(records).split("@")[0] + "@0")

    assert stored_jpeg(records, 96) == encode_jpeg(lesion(96, 96))
    assert stored_jpeg(records, 64) is None
    assert stored_jpeg(first, 400) is None
    assert stored_jpeg(jpeg, 400) is None


def test_a_grey_or_png_square_is_not_returned_as_stored_jpeg(tmp_path: Path):
    grey, png = io.BytesIO(), io.BytesIO()
    Image.fromarray(lesion(64, 64)).convert("L").save(grey, "JPEG")
    Image.fromarray(lesion(64, 64)).save(png, "PNG")
    for content in (grey.getvalue(), png.getvalue()):
        path = write_records(tmp_path / "a.tfrec", [{"image": content, "image_name": b"a"}])
        assert stored_jpeg(Path(f"{path}@0"), 64) is None
        assert read_picture(Path(f"{path}@0")).shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("record", "complaint"),
    [
        (
            {"image_name": b"a", "target": 1},
            "the record has no feature image of bytes; its features: image_name, target",
        ),
        ({"image": 3}, "the record has no feature image of bytes"),
        ({"image": b"GIF89a"}, "not a JPEG, PNG or DICOM"),
        ({"image": encode_jpeg(lesion(40, 30))[:-200]}, "cut off|not a readable picture"),
    ],
)
@pytest.mark.parametrize("read", [read_header, read_picture])
def test_a_record_without_a_valid_picture_is_refused_with_its_path(read, record: dict, complaint: str, tmp_path: Path):
    path = write_records(tmp_path / "wrong.tfrec", [record])

    with pytest.raises(InputFault, match=rf"wrong\.tfrec@0: .*({complaint})"):
        read(Path(f"{path}@0"))


@pytest.mark.parametrize(
    ("picture", "kind"),
    [
        ("jpeg/train/a.JPG", "JPEG"),
        ("a.png", "PNG"),
        ("dicom/train/a.dcm", "DICOM"),
        ("tfrecords/train00-2.tfrec@17", "TFRecord"),
        ("a.gif", "without a suffix"),
    ],
)
def test_the_kind_of_a_picture_follows_from_its_name(picture: str, kind: str):
    assert picture_kind(picture) == kind
