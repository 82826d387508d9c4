"""Tests of TFRecord files: those written by TensorFlow are read, and damage is reported with file and offset."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from features.pictures.tfrecord import iterate_records, parse_example, parse_record_path, read_record
from runtime.errors import InputFault
from tests.features.pictures.tfrecord_files import example, frame_record, masked_crc, message, varint

# Two records from tf.io.TFRecordWriter (TensorFlow 2.21): a tf.train.Example, and the bytes "second".
WRITTEN_BY_TENSORFLOW = bytes.fromhex(
    "8700000000000000b86f57e60a84010a090a05656d70747912000a180a0a696d6167655f6e616d65120a0a080a06495349435f310a0f0a04"
    "6d616e7912071a050a0301ac020a0a0a046e6f6e6512020a000a1c0a0a70617469656e745f6964120e1a0c0a0affffffffffffffffff010a"
    "110a057368617265120812060a040000003f0a0f0a05776964746812061a040a02f02e09dc049106000000000000007369d5377365636f6e"
    "64d3e0d3ca"
)
SECOND = 12 + 135 + 4  # offset of its second record


@pytest.fixture
def record_file(tmp_path: Path) -> Path:
    path = tmp_path / "train00-2.tfrec"
    path.write_bytes(WRITTEN_BY_TENSORFLOW)
    return path


def test_a_file_of_tensorflow_is_read_record_by_record(record_file: Path):
    (first, content), (second, last) = iterate_records(record_file)

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


def test_one_record_is_read_at_its_offset(record_file: Path):
    assert read_record(record_file, SECOND) == b"second"


def test_the_helpers_of_these_tests_write_the_same_bytes_as_tensorflow(tmp_path: Path):
    assert frame_record(b"second") == WRITTEN_BY_TENSORFLOW[SECOND:]
    assert parse_example(example({"a": b"x" * 300, "b": -5})) == {"a": b"x" * 300, "b": -5}


def test_unpacked_numbers_are_read_too():
    integers = message(3, varint(1 << 3) + varint(7) + varint(1 << 3) + varint(-1))
    floats = message(2, varint(1 << 3 | 5) + struct.pack("<f", 1.5))
    entries = [message(1, message(1, name) + message(2, value)) for name, value in ((b"i", integers), (b"f", floats))]

    assert parse_example(message(1, b"".join(entries))) == {"i": [7, -1], "f": 1.5}


def cut(length: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:length]


def flip_bit(position: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (cut(SECOND + 5), rf"@{SECOND}: cut off: a record has at least 16 bytes, 5 are left"),
        (cut(SECOND + 17), rf"@{SECOND}: cut off: the record has 6 bytes, 1 are left"),
        (cut(100), r"@0: cut off: the record has 135 bytes, 84 are left"),
        (flip_bit(0), r"@0: no record begins here: the CRC of its length is wrong"),
        (flip_bit(60), r"@0: the CRC of the record is wrong"),
        (flip_bit(SECOND + 12 + 6), rf"@{SECOND}: the CRC of the record is wrong"),
    ],
)
def test_a_damaged_file_is_refused_with_the_offset_of_the_damage(
    record_file: Path, damage: Callable[[bytes], bytes], complaint: str
):
    record_file.write_bytes(damage(WRITTEN_BY_TENSORFLOW))

    with pytest.raises(InputFault, match=rf"train00-2\.tfrec{complaint}"):
        list(iterate_records(record_file))


@pytest.mark.parametrize("offset", [1, SECOND - 1, 10_000])
def test_an_offset_that_is_not_the_start_of_a_record_is_refused(record_file: Path, offset: int):
    with pytest.raises(InputFault, match=rf"tfrec@{offset}: (no record begins here|cut off)"):
        read_record(record_file, offset)


def test_a_record_longer_than_the_file_is_cut_off_and_no_memory_is_allocated(tmp_path: Path):
    path = tmp_path / "huge.tfrec"
    length = struct.pack("<Q", 1 << 62)
    path.write_bytes(length + masked_crc(length) + bytes(100))

    with pytest.raises(InputFault, match=r"huge\.tfrec@0: cut off: the record has 4611686018427387904 bytes"):
        list(iterate_records(path))


def test_a_missing_file_is_reported_as_missing(tmp_path: Path):
    with pytest.raises(InputFault, match="the TFRecord file does not exist"):
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
def test_an_invalid_example_is_refused(content: bytes):
    with pytest.raises(InputFault, match=r"the record is not a tf\.train\.Example"):
        parse_example(content)


def test_a_path_is_split_into_file_and_offset():
    assert parse_record_path(Path("tfrecords/train00-2.tfrec@151")) == (Path("tfrecords/train00-2.tfrec"), 151)
    assert parse_record_path(Path("jpeg/train/a@1.jpg")) is None
    assert parse_record_path(Path("train00-2.tfrec")) is None
