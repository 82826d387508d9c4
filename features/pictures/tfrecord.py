"""Read TFRecord files without TensorFlow: records by byte offset, checked by their CRCs, and parsed into features."""

import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import google_crc32c

from features.pictures.protobuf import fields, whole_numbers
from runtime.errors import InputFault

Value = bytes | int | float | list[bytes] | list[int] | list[float]

SUFFIXES = (".tfrec", ".tfrecord", ".tfrecords")
RECORD_PATH = re.compile(r"(.+\.tfrec(?:ords?)?)@(\d+)", re.IGNORECASE)
HEAD, FOOT = 12, 4  # bytes around a record: length (8) and its CRC (4); CRC of the content
MASK = 0xA282EAD8  # added to a CRC, since the CRC of data that contain CRCs is problematic
BYTES, FLOATS, INTEGERS = 1, 2, 3  # the kinds of a tf.train.Feature, by field number
GZIP = b"\x1f\x8b\x08"  # read as the length of a record, these bytes would mean gigabytes
PICTURES = (b"\xff\xd8\xff", b"\x89PNG")
EMPTY = memoryview(b"")


def parse_record_path(path: Path) -> tuple[Path, int] | None:
    """Return file and byte offset of a path ``<file>.tfrec@<offset>``; None for any other path."""
    match = RECORD_PATH.fullmatch(str(path))
    return (Path(match[1]), int(match[2])) if match else None


def iterate_records(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the byte offset and the content of every record in the file, one in memory at a time.

    Raises InputFault with file and offset if the file is cut off or a CRC is wrong.
    """
    with _open_records(path) as (stream, size):
        offset = 0
        while offset < size:
            content = _next_record(stream, size, f"{path}@{offset}")
            yield offset, content
            offset += HEAD + len(content) + FOOT


def read_record(path: Path, offset: int) -> bytes:
    """Return the content of the record that begins at byte ``offset``.

    Raises InputFault if the file is missing or cut off, or if no valid record begins there.
    """
    with _open_records(path) as (stream, size):
        stream.seek(offset)
        return _next_record(stream, size, f"{path}@{offset}")


def parse_example(content: bytes) -> dict[str, Value]:
    """Return the features of a serialised tf.train.Example: a single value as itself, none or several as a list.

    Raises InputFault if ``content`` is not a serialised tf.train.Example.
    Source of the format: protobuf's encoding; tensorflow/core/example/example.proto and feature.proto.
    """
    try:
        features = [_message_of(message) for number, message in fields(memoryview(content)) if number == 1]
        entries = [_message_of(entry) for part in features for number, entry in fields(part) if number == 1]
        return dict(_entry(entry) for entry in entries)
    except (IndexError, ValueError, TypeError, struct.error) as error:
        raise InputFault(f"the record is not a tf.train.Example ({error})") from error


def picture_feature(features: Mapping[str, Value]) -> str | None:
    """Return the feature that holds the picture: ``image``, else the only one that begins like a JPEG or PNG."""
    if "image" in features:
        return "image"
    pictures = [name for name, value in features.items() if isinstance(value, bytes) and value.startswith(PICTURES)]
    return pictures[0] if len(pictures) == 1 else None


@contextmanager
def _open_records(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    try:
        with path.open("rb") as stream:
            yield stream, path.stat().st_size
    except FileNotFoundError:
        raise InputFault(f"{path}: the TFRecord file does not exist") from None
    except OSError as error:
        raise InputFault(f"{path}: not a readable TFRecord file ({error})") from error


def _next_record(stream: BinaryIO, size: int, where: str) -> bytes:
    """Return the content of the record at the current position of ``stream``, in a file of ``size`` bytes.

    Source of the format: tensorflow/core/lib/io/record_writer.h.
    """
    rest = size - stream.tell()
    if rest < HEAD + FOOT:
        raise InputFault(f"{where}: cut off: a record has at least {HEAD + FOOT} bytes, {max(rest, 0)} are left")
    head = stream.read(HEAD)
    length, crc = struct.unpack("<QI", head)
    if head.startswith(GZIP):
        raise InputFault(f"{where}: compressed by gzip; unpack it")
    if _masked_crc(head[:8]) != crc:
        raise InputFault(f"{where}: no record begins here: the CRC of its length is wrong")
    if HEAD + length + FOOT > rest:
        raise InputFault(f"{where}: cut off: the record has {length} bytes, {rest - HEAD - FOOT} are left")
    content = stream.read(length)
    if _masked_crc(content) != struct.unpack("<I", stream.read(FOOT))[0]:
        raise InputFault(
            f"{where}: the CRC of the record is wrong: its {length} bytes have changed since they were written"
        )
    return content


def _masked_crc(content: bytes) -> int:
    crc = int(google_crc32c.value(content))
    return ((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF


def _entry(entry: memoryview) -> tuple[str, Value]:
    """Return name and value of one feature of an Example."""
    content = dict(fields(entry))
    name = str(_message_of(content.get(1, EMPTY)), "utf-8")
    kinds = list(fields(_message_of(content.get(2, EMPTY))))
    values = (
        _values(kinds[-1][0], _message_of(kinds[-1][1])) if kinds else []
    )  # protobuf uses the last value of a oneof
    return name, values[0] if len(values) == 1 else values


def _values(kind: int, content: memoryview) -> list[bytes] | list[int] | list[float]:
    """Return the values of a BytesList, FloatList or Int64List, with packed or unpacked numbers."""
    values = [value for number, value in fields(content) if number == 1]
    if kind == BYTES:
        return [bytes(_message_of(value)) for value in values]
    if kind == FLOATS:
        content_bytes = b"".join(_message_of(value) for value in values)
        return [value for (value,) in struct.iter_unpack("<f", content_bytes)]
    if kind == INTEGERS:
        return [number for value in values for number in whole_numbers(value)]
    raise ValueError(f"a feature of unknown kind {kind}")


def _message_of(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("found a number instead of a message")
    return value
