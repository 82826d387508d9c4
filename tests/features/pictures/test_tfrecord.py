"""TFRecord files without TensorFlow: what it wrote is read, and every damage is named with file and offset."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from features.pictures.tfrecord import iterate_records, parse_example, parse_record_path, read_record
from runtime.errors import InputFault
from tests.features.pictures.tfrecord_files import example, framed, masked, message, varint

# Two records written by tf.io.TFRecordWriter (TensorFlow 2.21): a tf.train.Example, and the bytes "second".
WRITTEN_BY_TENSORFLOW = bytes.fromhex(
    "8700000000000000b86f57e60a84010a090a05656d70747912000a180a0a696d6167655f6e616d65120a0a080a06495349435f310a0f0a04"
    "6d616e7912071a050a0301ac020a0a0a046e6f6e6512020a000a1c0a0a70617469656e745f6964120e1a0c0a0affffffffffffffffff010a"
    "110a057368617265120812060a040000003f0a0f0a05776964746812061a040a02f02e09dc049106000000000000007369d5377365636f6e"
    "64d3e0d3ca"
)
SECOND = 12 + 135 + 4  # where its second record begins


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "train00-2.tfrec"
    path.write_bytes(WRITTEN_BY_TENSORFLOW)
    return path


def test_what_tensorflow_wrote_is_read_record_by_record(written: Path):
    (first, content), (second, last) = iterate_records(written)

    assert (first, second, last) == (0, SECOND, b"second")
    assert parse_example(content) == {
        "image_name": b"ISIC_1",
        "patient_id": -1,
        "width": 6000,
        "many": [1, 300],
        "share": 0.5,
        "none": [],
        "empty": [],
    }


def test_one_record_is_read_at_its_offset(written: Path):
    assert read_record(written, SECOND) == b"second"


def test_the_records_of_these_tests_are_those_of_tensorflow(tmp_path: Path):
    assert framed(b"second") == WRITTEN_BY_TENSORFLOW[SECOND:]
    assert parse_example(example({"a": b"x" * 300, "b": -5})) == {"a": b"x" * 300, "b": -5}


def test_numbers_that_are_not_packed_are_read_as_well():
    integers = message(3, varint(1 << 3) + varint(7) + varint(1 << 3) + varint(-1))
    floats = message(2, varint(1 << 3 | 5) + struct.pack("<f", 1.5))
    entries = [message(1, message(1, name) + message(2, value)) for name, value in ((b"i", integers), (b"f", floats))]

    assert parse_example(message(1, b"".join(entries))) == {"i": [7, -1], "f": 1.5}


def cut(length: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:length]


def flipped(place: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (cut(SECOND + 5), rf"@{SECOND}: cut off: 5 bytes are left"),
        (cut(SECOND + 17), rf"@{SECOND}: cut off: the record has 6 bytes, 1 are left"),
        (cut(100), r"@0: cut off: the record has 135 bytes, 84 are left"),
        (flipped(0), r"@0: no record begins here: the CRC of its length is wrong"),
        (flipped(60), r"@0: the CRC of the record is wrong"),
        (flipped(SECOND + 12 + 6), rf"@{SECOND}: the CRC of the record is wrong"),
    ],
)
def test_a_damaged_file_is_refused_with_the_offset_of_the_damage(
    written: Path, spoil: Callable[[bytes], bytes], complaint: str
):
    written.write_bytes(spoil(WRITTEN_BY_TENSORFLOW))

    with pytest.raises(InputFault, match=rf"train00-2\.tfrec{complaint}"):
        list(iterate_records(written))


@pytest.mark.parametrize("offset", [1, SECOND - 1, 10_000])
def test_an_offset_at_which_no_record_begins_is_refused(written: Path, offset: int):
    with pytest.raises(InputFault, match=rf"tfrec@{offset}: (no record begins here|cut off)"):
        read_record(written, offset)


def test_a_length_beyond_all_memory_is_cut_off_and_not_tried(tmp_path: Path):
    path = tmp_path / "huge.tfrec"
    length = struct.pack("<Q", 1 << 62)
    path.write_bytes(length + masked(length) + bytes(100))

    with pytest.raises(InputFault, match=r"huge\.tfrec@0: cut off: the record has 4611686018427387904 bytes"):
        list(iterate_records(path))


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path):
    with pytest.raises(InputFault, match="no such TFRecord file"):
        read_record(tmp_path / "gone.tfrec", 0)


@pytest.mark.parametrize(
    "content",
    [
        b"second",
        message(1, b"\x0a\xff"),
        varint(1 << 3) + b"\x05",
        b"\x0a" + b"\xff" * 11,
        message(1, message(1, message(1, b"\xff\xfe") + message(2, message(1, b"")))),
        message(1, message(1, message(1, b"a") + message(2, message(2, message(1, b"abc"))))),
        message(1, message(1, message(1, b"a") + message(2, message(7, message(1, b"abc"))))),
    ],
)
def test_what_is_no_example_is_refused(content: bytes):
    with pytest.raises(InputFault, match=r"the record is no tf\.train\.Example"):
        parse_example(content)


def test_a_place_names_file_and_offset():
    assert parse_record_path(Path("tfrecords/train00-2.tfrec@151")) == (Path("tfrecords/train00-2.tfrec"), 151)
    assert parse_record_path(Path("jpeg/train/a@1.jpg")) is None
    assert parse_record_path(Path("train00-2.tfrec")) is None
