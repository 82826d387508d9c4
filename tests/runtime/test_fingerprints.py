"""Tests of the fingerprints of files: they depend on the content, never on times, and on a change near the end."""

import os
from pathlib import Path

import pytest

from runtime.fingerprints import CONTAINER_BYTES, MISSING, PIECE, fingerprint, fingerprints


def test_a_touch_changes_nothing_and_a_replacement_of_the_same_size_and_time_does(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(bytes(range(256)) * 100)
    first, status = fingerprint(path), path.stat()
    os.utime(path, ns=(1, 1))
    assert fingerprint(path) == first
    path.write_bytes(bytes(range(255, -1, -1)) * 100)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert fingerprint(path) != first


@pytest.mark.parametrize("size", [0, 1, PIECE, 2 * PIECE, 2 * PIECE + 1, 100_000, CONTAINER_BYTES])
def test_size_and_last_byte_count(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    prints = []
    for content in (bytes(size), bytes(size + 1), bytes(max(0, size - 1)) + b"x"):
        path.write_bytes(content)
        prints.append(fingerprint(path))
    assert len(set(prints)) == 3


def test_a_small_file_is_read_in_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    prints = set()
    for position in range(0, 2 * PIECE, 97):
        content = bytearray(2 * PIECE)
        content[position] = 1
        path.write_bytes(content)
        prints.add(fingerprint(path))
    assert len(prints) == len(range(0, 2 * PIECE, 97))


def test_many_files_have_their_own_fingerprints_and_a_missing_one_says_so(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}" for number in range(600)]
    for path in paths[:-1]:
        path.write_text(path.name)
    result = fingerprints([*paths, paths[0]])
    assert list(result) == paths
    assert result[paths[-1]] == MISSING
    assert len(set(result.values())) == 600
    assert result[paths[7]] == fingerprint(paths[7])
