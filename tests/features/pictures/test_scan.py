"""Tests for scan.py: one decode per picture, in order, whatever the number of processes."""

import io
from pathlib import Path

from PIL import Image

from features.pictures.read import read_picture
from features.pictures.scan import scan
from features.pictures.statistics import picture_statistics
from tests.features.pictures.drawn import lesion, saved


def test_a_scan_gives_statistics_squares_and_faults_in_order(tmp_path: Path):
    paths = {name: saved(tmp_path / f"{name}.jpg", lesion(400, 300, seed)) for seed, name in enumerate("cab")}
    paths["broken"] = tmp_path / "broken.jpg"
    paths["broken"].write_bytes(paths["c"].read_bytes()[:2000])
    paths["small"] = saved(tmp_path / "small.png", lesion(60, 50))

    scanned = list(scan(paths, sizes=(32, 64), jobs=1))

    assert [one.name for one in scanned] == ["c", "a", "b", "broken", "small"]
    assert [one.fault is None for one in scanned] == [True, True, True, False, True]
    assert "broken.jpg" in str(scanned[3].fault)
    assert scanned[3].statistics == scanned[3].jpegs == {}
    assert scanned[4].statistics == picture_statistics(read_picture(paths["small"]))
    assert {size: Image.open(io.BytesIO(jpeg)).size for size, jpeg in scanned[0].jpegs.items()} == {
        32: (32, 32),
        64: (64, 64),
    }


def test_parallel_work_changes_nothing(tmp_path: Path):
    paths = {f"p{seed}": saved(tmp_path / f"{seed}.jpg", lesion(300, 260, seed)) for seed in range(20)}

    assert list(scan(paths, sizes=(24,), jobs=2)) == list(scan(paths, sizes=(24,), jobs=1))


def test_statistics_and_squares_do_not_depend_on_the_other_sizes_asked_for(tmp_path: Path):
    paths = {"a": saved(tmp_path / "a.jpg", lesion(2400, 2000), quality=95)}
    alone, beside, none = (next(iter(scan(paths, sizes, jobs=1))) for sizes in [(64,), (64, 800), ()])

    assert alone.statistics == beside.statistics == none.statistics
    assert alone.jpegs[64] == beside.jpegs[64]


def test_a_scan_of_nothing_is_empty():
    assert list(scan({}, sizes=(32,))) == []
