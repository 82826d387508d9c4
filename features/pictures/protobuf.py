"""A reader of the fields of a protobuf message (protobuf.dev/programming-guides/encoding); it trusts no length."""

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
SIZES = {FIXED64: 8, FIXED32: 4}


class MessageFault(ValueError):
    """What is wrong with the bytes of a message."""


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of every field of ``message``: a whole number from 0, or bytes.

    Raises MessageFault for a field that is cut off, or of a type that messages no longer have.
    """
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        kind = key & 7
        if kind == VARINT:
            value, at = varint(message, at)
            yield key >> 3, value
            continue
        size, at = varint(message, at) if kind == BYTES else (SIZES.get(kind, -1), at)
        if not 0 <= size <= len(message) - at:
            raise MessageFault("a field is cut off, or of an unknown type")
        yield key >> 3, message[at : at + size]
        at += size


def varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return the whole number at the position ``at``, from 0 to 2^64 - 1, and the position after it."""
    if at < len(message) and message[at] < 128:  # nearly all numbers
        return message[at], at + 1
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        value |= (message[at] & 127) << shift
        at += 1
        if message[at - 1] < 128 and value < 2**64:
            return value, at
    raise MessageFault("a number is cut off, or too large")


def whole_numbers(value: int | memoryview) -> list[int]:
    """Return the signed numbers of a repeated field: a single number, or packed ones."""
    if isinstance(value, int):
        return [_with_sign(value)]
    numbers, at = [], 0
    while at < len(value):
        number, at = varint(value, at)
        numbers.append(_with_sign(number))
    return numbers


def _with_sign(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value
