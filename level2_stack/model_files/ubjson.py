"""A reader of UBJSON (ubjson.org, draft 12, with typed arrays), as XGBoost writes it; it trusts no length."""

from typing import Any

import numpy as np

from level2_stack.model_files.reading import require

MAX_DEPTH = 12  # XGBoost nests 7 deep
MAX_ITEMS = 5_000_000
KINDS = {b"i": ">i1", b"U": ">u1", b"I": ">i2", b"l": ">i4", b"L": ">i8", b"d": ">f4", b"D": ">f8"}


class Reader:
    """A position in the bytes of a UBJSON file; an array of numbers becomes a NumPy array, all else as in JSON."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at, self._items = content, 0, 0

    def document(self) -> Any:  # noqa: ANN401  only the caller knows the shape
        """Return the one value of the file; raise ModelFault if it is not UBJSON of XGBoost's kind."""
        value = self._value(self._take(1), 0)
        require(self._at == len(self._content), "bytes follow the end")
        return value

    def _take(self, count: int) -> bytes:
        require(0 <= count <= len(self._content) - self._at, "it is cut off, or a length exceeds the file")
        self._at += count
        return self._content[self._at - count : self._at]

    def _value(self, kind: bytes, depth: int) -> Any:  # noqa: ANN401
        require(depth <= MAX_DEPTH, f"nested deeper than {MAX_DEPTH}")
        self._items += 1
        require(self._items <= MAX_ITEMS, f"more than {MAX_ITEMS:,} values")
        if kind in KINDS:
            return np.frombuffer(self._take(np.dtype(KINDS[kind]).itemsize), KINDS[kind])[0].item()
        if kind == b"S":
            return self._text()
        if kind == b"[":
            return self._array(depth)
        require(kind == b"{", f"an unknown type {kind!r} at byte {self._at - 1}")
        return self._object(depth)

    def _length(self) -> int:
        require(self._take(1) == b"L", f"a length of another type at byte {self._at - 1}")
        return int.from_bytes(self._take(8), "big", signed=True)

    def _text(self) -> str:
        content = self._take(self._length())
        require(b"\0" not in content, "a text with the character 0")
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            require(False, "a text that is not UTF-8")
            return ""

    def _object(self, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while self._peek() != b"}":
            name = self._text()
            require(name not in values, f"the key {name[:60]!r} occurs twice")
            values[name] = self._value(self._take(1), depth + 1)
        self._take(1)
        return values

    def _array(self, depth: int) -> Any:  # noqa: ANN401
        if self._peek() == b"$":
            return self._typed_array()
        require(self._take(1) == b"#", f"an array without a length at byte {self._at - 1}")
        count = self._length()
        require(0 <= count <= len(self._content) - self._at, "an array is longer than the file")
        return [self._value(self._take(1), depth + 1) for _ in range(count)]

    def _typed_array(self) -> Any:  # noqa: ANN401
        self._take(1)
        kind = self._take(1)
        require(kind in KINDS, f"an array of the unknown type {kind!r}")
        require(self._take(1) == b"#", "an array without a length")
        count, size = self._length(), np.dtype(KINDS[kind]).itemsize
        require(0 <= count <= len(self._content), "an array is longer than the file")
        return np.frombuffer(self._take(count * size), KINDS[kind])

    def _peek(self) -> bytes:
        return self._content[self._at : self._at + 1]
