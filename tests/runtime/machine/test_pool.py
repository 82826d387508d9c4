"""Tests of pool.py: a worker that is killed costs its task a second attempt; an item that kills it twice is named."""

import os
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import psutil
import pytest

from features.pictures.scan import scan
from runtime.machine.pool import map_chunks
from tests.features.pictures.lesion_pictures import lesion, save_picture

pytestmark = pytest.mark.full
CHUNKS = [[0, 1], [2, 3], [4, 5], [6, 7]]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory runs out


def double(numbers: Sequence[int], folder: Path, deadly: int | None = None) -> list[int]:
    """Return the doubles of ``numbers``; die at 3 the first time, and at ``deadly`` every time."""
    if 3 in numbers and not (folder / "killed").exists():
        (folder / "killed").touch()
        die()
    if deadly in numbers:
        die()
    return [2 * number for number in numbers]


def test_the_work_of_a_killed_worker_is_done_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = list(map_chunks(partial(double, folder=tmp_path), CHUNKS, str, processes=2))
    assert outcomes == [[0, 2], [4, 6], [8, 10], [12, 14]]
    assert capsys.readouterr().out.count("its work is tried again") == 1


def test_only_the_item_that_kills_its_worker_again_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "killed").touch()
    outcomes = list(map_chunks(partial(double, folder=tmp_path, deadly=5), CHUNKS, str, processes=2))
    assert outcomes == [[0, 2], [4, 6], [8, "5"], [12, 14]]


def test_a_worker_that_is_killed_while_it_decodes_pictures_changes_no_result(tmp_path: Path) -> None:
    paths = {f"p{seed}": save_picture(tmp_path / f"{seed}.jpg", lesion(300, 260, seed)) for seed in range(80)}
    results = scan(paths, sizes=(24,), jobs=2)
    first = next(results)
    workers = [child for child in psutil.Process().children() if "popen_loky" in " ".join(child.cmdline())]
    workers[0].kill()
    assert [first, *results] == list(scan(paths, sizes=(24,), jobs=1))
