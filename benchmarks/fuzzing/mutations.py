"""Altered copies of a file's bytes: bytes, numbers, lines, lengths and indices, cuts, deep nesting."""

import re
from collections.abc import Callable

import numpy as np

Random = np.random.Generator
NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
NUMBERS = (
    b"-1",
    b"0",
    b"1",
    b"2",
    b"5",
    b"255",
    b"65536",
    b"2147483647",
    b"-2147483648",
    b"4294967296",
    b"1e308",
    b"nan",
    *(b"999999999999999999999", b"1e999", b"-7", b"0.5", b"true", b"null", b"[]", b"{}", b"", b"1" * 5000),
)
Mutation = Callable[[bytes, Random], bytes]
TREE = re.compile(rb"Tree=\d+\n.*?\n\n\n", re.DOTALL)
TYPED_ARRAY = re.compile(rb"\$([lUdLi])#L(.{8})", re.DOTALL)
WIDTH = {b"l": 4, b"U": 1, b"d": 4, b"L": 8, b"i": 1}
DEEP = 100_000


def mutate(content: bytes, random: Random) -> bytes:
    """Return an altered copy of ``content``: one to three alterations of random kinds."""
    kinds: list[Mutation] = [flip_bytes, cut, repeat_part, overwrite_word]
    kinds += _of_text() * 3 if _is_text(content) else _of_binary(content)
    for _ in range(random.integers(1, 4)):
        content = kinds[random.integers(len(kinds))](content, random)
    # Lengths that do not agree are found at once; most alterations must come past them.
    return _with_sizes(content) if content.startswith(b"tree\n") and random.random() < 0.85 else content


def flip_bytes(content: bytes, random: Random) -> bytes:
    """Replace one to eight bytes."""
    result = bytearray(content)
    for at in random.integers(0, max(len(content), 1), random.integers(1, 9)) if content else ():
        result[at] = random.integers(256)
    return bytes(result)


def cut(content: bytes, random: Random) -> bytes:
    """Leave the end out."""
    return content[: random.integers(len(content) + 1)]


def repeat_part(content: bytes, random: Random) -> bytes:
    """Write a part of up to 200 bytes twice."""
    start = int(random.integers(len(content) + 1))
    end = start + int(random.integers(200))
    return content[:end] + content[start:]


def overwrite_word(content: bytes, random: Random) -> bytes:
    """Replace one, four or eight bytes by the limits of a whole number."""
    size = int(random.choice([1, 4, 8]))
    at = int(random.integers(max(1, len(content) - size)))
    words = (2 ** (8 * size - 1) - 1, 2 ** (8 * size) - 1, 0, 1, 2 ** (4 * size))
    word = words[random.integers(len(words))]
    return (
        content[:at]
        + (word.to_bytes(size, "big") if random.random() < 0.5 else word.to_bytes(size, "little"))
        + content[at + size :]
    )


def edit_number(content: bytes, random: Random) -> bytes:
    """Replace a number of a text by an extreme one, or by another number of the same text."""
    places = list(NUMBER.finditer(content))
    if not places:
        return content
    place = places[random.integers(len(places))]
    other = places[random.integers(len(places))].group()
    text = other if random.random() < 0.5 else NUMBERS[random.integers(len(NUMBERS))]
    return content[: place.start()] + text + content[place.end() :]


def edit_lines(content: bytes, random: Random) -> bytes:
    """Write a line twice, leave one out, or let two change places."""
    lines = content.split(b"\n")
    first, second = random.integers(len(lines), size=2)
    match random.integers(3):
        case 0:
            lines.insert(int(first), lines[second])
        case 1:
            del lines[first]
        case _:
            lines[first], lines[second] = lines[second], lines[first]
    return b"\n".join(lines)


def nest(content: bytes, random: Random) -> bytes:
    """Replace a number by an array in arrays, or put such an array at the end."""
    deep = b"[" * DEEP + b"]" * DEEP
    places = list(NUMBER.finditer(content))
    place = places[random.integers(len(places))] if places and random.random() < 0.8 else None
    return content + deep if place is None else content[: place.start()] + deep + content[place.end() :]


def edit_element(content: bytes, random: Random) -> bytes:
    """Replace one number of a typed array of UBJSON: an index, a child, a category."""
    places = [place for place in TYPED_ARRAY.finditer(content) if 0 < int.from_bytes(place.group(2), "big") < 2**20]
    if not places:
        return content
    place = places[random.integers(len(places))]
    size = WIDTH[place.group(1)]
    at = place.end() + size * int(random.integers(int.from_bytes(place.group(2), "big")))
    value = int(random.choice([0, 1, 2, 5, 40, 1000, 2**31 - 1, 2**32 - 1, 2**31])) % 2 ** (8 * size)
    return bytes(content[:at] + value.to_bytes(size, "big") + content[at + size :])


def _of_text() -> list[Mutation]:
    return [edit_number, edit_number, edit_number, edit_lines, nest]


def _of_binary(content: bytes) -> list[Mutation]:
    return [edit_element] * 12 if TYPED_ARRAY.search(content) else [flip_bytes, overwrite_word]


def _is_text(content: bytes) -> bool:
    return b"\0" not in content[:1000] and not content.startswith(b"PK")


def _with_sizes(content: bytes) -> bytes:
    """Return a LightGBM text whose tree_sizes agree with its trees."""
    sizes = b" ".join(str(len(tree)).encode() for tree in TREE.findall(content))
    return re.sub(rb"tree_sizes=[^\n]*", b"tree_sizes=" + sizes, content, count=1)
