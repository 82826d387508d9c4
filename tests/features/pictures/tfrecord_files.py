"""Write TFRecord files like those of Kaggle's sets, without TensorFlow."""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import google_crc32c


def masked_crc(content: bytes) -> bytes:
    crc = google_crc32c.value(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def frame_record(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    return length + masked_crc(length) + content + masked_crc(content)


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    start = b""
    while number >= 0x80:
        start, number = start + bytes([number & 0x7F | 0x80]), number >> 7
    return start + bytes([number])


def message(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def example(features: Mapping[str, bytes | int]) -> bytes:
    """Return a serialised tf.train.Example."""
    entries = b""
    for name, value in features.items():
        kind, content = (1, message(1, value)) if isinstance(value, bytes) else (3, message(1, varint(value)))
        entries += message(1, message(1, name.encode()) + message(2, message(kind, content)))
    return message(1, entries)


def write_records(path: Path, records: Sequence[Mapping[str, bytes | int]]) -> Path:
    """Write records like those of Kaggle's sets."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(frame_record(example(record)) for record in records))
    return path
