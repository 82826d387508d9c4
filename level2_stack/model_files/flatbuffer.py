"""A reader of FlatBuffers (flatbuffers.dev/internals), the format within CatBoost's; it trusts no offset."""

import struct

import numpy as np
from numpy.typing import NDArray

from level2_stack.model_files.reading import ModelFault, require

MAX_TABLES = 100_000


class Table:
    """A table in ``buffer``: numbered fields, each absent or at a position."""

    def __init__(self, buffer: bytes, at: int) -> None:
        self._buffer = buffer
        fields = at - self._number("<i", at)
        size = self._number("<H", fields)
        require(size >= 4 and size % 2 == 0, "a table of an invalid size")
        offsets = [self._number("<H", fields + position) for position in range(4, size, 2)]
        self._fields = {number: at + offset for number, offset in enumerate(offsets) if offset}

    @classmethod
    def root(cls, buffer: bytes) -> "Table":
        """Return the table that the whole ``buffer`` holds."""
        start = bytes(buffer[:4])
        require(len(start) == 4, "it is cut off")
        return cls(buffer, int.from_bytes(start, "little"))

    @property
    def fields(self) -> set[int]:
        """The numbers of the fields that the table has."""
        return set(self._fields)

    def number(self, field: int, kind: str, default: float = 0) -> float:
        """Return the number of type ``kind`` (of struct) in ``field``."""
        return self._number(kind, self._fields[field]) if field in self._fields else default

    def array(self, field: int, kind: str) -> NDArray[np.generic]:
        """Return the numbers of type ``kind`` (of NumPy) in ``field``; none if it is absent."""
        start, count = self._vector(field)
        size = np.dtype(kind).itemsize
        require(start + count * size <= len(self._buffer), "a list is longer than the file")
        return np.frombuffer(self._buffer, kind, count, start) if count else np.zeros(0, kind)

    def text(self, field: int) -> str:
        """Return the text in ``field``; raise ModelFault if it is not UTF-8."""
        try:
            return self.array(field, "<u1").tobytes().decode("utf-8")
        except UnicodeDecodeError as error:
            raise ModelFault("a text that is not UTF-8") from error

    def table(self, field: int) -> "Table":
        """Return the table in ``field``; raise ModelFault if it is absent."""
        require(field in self._fields, f"the field {field} is missing")
        return Table(self._buffer, self._target(self._fields[field]))

    def tables(self, field: int) -> list["Table"]:
        """Return the tables in ``field``."""
        start, count = self._vector(field)
        require(count <= MAX_TABLES, f"more than {MAX_TABLES:,} parts")
        return [Table(self._buffer, self._target(start + 4 * index)) for index in range(count)]

    def count(self, field: int) -> int:
        """Return the number of values in the list in ``field``."""
        return self._vector(field)[1]

    def _vector(self, field: int) -> tuple[int, int]:
        if field not in self._fields:
            return 0, 0
        at = self._target(self._fields[field])
        return at + 4, self._number("<I", at)

    def _target(self, at: int) -> int:
        return at + self._number("<I", at)

    def _number(self, kind: str, at: int) -> int:
        require(0 <= at <= len(self._buffer) - struct.calcsize(kind), "an offset beyond the file")
        value: int = struct.unpack_from(kind, self._buffer, at)[0]
        return value
