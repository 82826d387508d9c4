"""Tests of scan.py: each picture is decoded once, in order, with any number of processes."""

import io
from pathlib import Path

from PIL import Image

from features.pictures.read import read_picture
from features.pictures.scan import scan
from features.pictures.statistics.picture import picture_statistics
from tests.features.pictures.lesion_pictures import lesion, save_picture


def test_a_scan_yields_statistics_squares_and_faults_in_order(tmp_path: Path):
    paths = {name: save_picture(tmp_path / f"{name}.jpg", lesion(400, 300, seed)) for seed, name in enumerate("cab")}
    paths["damaged"] = tmp_path / "damaged.jpg"
    paths["damaged"].write_bytes(paths["c"].read_bytes()[:2000])
    paths["small"] = save_picture(tmp_path / "small.png", lesion(60, 50))

    results = list(scan(paths, sizes=(32, 64), jobs=1))

    assert [result.name for result in results] == ["c", "a", "b", "damaged", "small"]
    assert [result.fault is None for result in results] == [True, True, True, False, True]
    assert "damaged.jpg" in str(results[3].fault)
    assert results[3].statistics == results[3].jpegs == {}
    assert results[4].statistics == picture_statistics(read_picture(paths["small"]))
    assert {size: Image.open(io.BytesIO(jpeg)).size for size, jpeg in results[0].jpegs.items()} == {
        32: (32, 32),
        64: (64, 64),
    }


def test_two_processes_give_the_same_results_as_one(tmp_path: Path):
    paths = {f"p{seed}": save_picture(tmp_path / f"{seed}.jpg", lesion(300, 260, seed)) for seed in range(20)}

    assert list(scan(paths, sizes=(24,), jobs=2)) == list(scan(paths, sizes=(24,), jobs=1))


def test_statistics_and_squares_do_not_depend_on_the_other_requested_sizes(tmp_path: Path):
    paths = {"a": save_picture(tmp_path / "a.jpg", lesion(2400, 2000), quality=95)}
    one_size, two_sizes, no_size = (next(iter(scan(paths, sizes, jobs=1))) for sizes in [(64,), (64, 800), ()])

    assert one_size.statistics == two_sizes.statistics == no_size.statistics
    assert one_size.jpegs[64] == two_sizes.jpegs[64]


def test_a_scan_of_nothing_is_empty():
    assert list(scan({}, sizes=(32,))) == []
