"""Tests of lookalikes.py, alignment.py and traces.py: altered copies of a picture are found."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks.leak_audit import alter
from features.leaks.alignment import align, blur, correlate_details, detail, halve, views
from features.leaks.lookalikes import find_lookalikes, propose_pairs
from features.leaks.traces import describe, make_traces, read_or_make_traces, trace
from runtime.errors import InputFault
from tests.features.leaks.skin_pictures import skin


def table(pictures: dict[str, np.ndarray]) -> pd.DataFrame:
    rows = {name: trace(picture, seed) for seed, (name, picture) in enumerate(pictures.items())}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("image_name")


def crop(picture: np.ndarray) -> np.ndarray:
    return picture[5:-20, 25:-3]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda picture: np.asarray(Image.fromarray(picture).resize((100, 80))), id="rescaled"),
        pytest.param(np.rot90, id="rotated"),
        pytest.param(lambda picture: picture[:, ::-1], id="flipped"),
        pytest.param(lambda picture: (picture * 0.9).astype(np.uint8), id="darkened"),
        pytest.param(crop, id="cropped"),
        pytest.param(lambda picture: np.rot90(crop(picture))[::-1], id="cropped, rotated and flipped"),
    ],
)
def test_an_altered_copy_is_found_and_no_other_pair(change):
    pictures = {name: skin(seed) for seed, name in enumerate("abcd")}
    pairs = find_lookalikes(table(pictures | {"copy": np.ascontiguousarray(change(pictures["b"]))}))
    assert pairs[["first", "second"]].to_numpy().tolist() == [["b", "copy"]]


def test_copies_with_all_changes_are_found_among_many_pictures():
    pictures = {f"p{seed:02}": skin(seed, 120, 160) for seed in range(60)}
    copies = {f"{name} copy": alter(pictures[name], np.random.default_rng(7)) for name in list(pictures)[::6]}
    pairs = find_lookalikes(table(pictures | copies))
    lookalikes = set(map(tuple, pairs[["first", "second"]].to_numpy()))
    copied_pairs = {(name.removesuffix(" copy"), name) for name in copies}
    assert lookalikes <= copied_pairs
    assert len(lookalikes) >= 0.9 * len(copied_pairs)


def test_blank_pictures_have_no_lookalikes():
    blank = np.full((40, 50, 3), 200, np.uint8)
    assert find_lookalikes(table({"a": blank, "b": blank.copy(), "c": blank[:30]})).empty


def test_very_small_pictures_are_lookalikes_only_if_their_pixels_are_equal():
    small = np.asarray(Image.fromarray(skin(5)).resize((40, 30)))
    pairs = find_lookalikes(table({"a": small, "b": small.copy(), "c": small[::-1]}))
    assert pairs.to_numpy().tolist() == [["a", "b", 1.0]]


def test_a_single_picture_has_no_lookalike():
    assert find_lookalikes(table({"a": skin(0)})).columns.tolist() == ["first", "second", "alike"]


def test_dark_round_corners_do_not_make_two_pictures_lookalikes():
    rows, columns = np.mgrid[:192, :256]
    lens = np.hypot(rows - 96, columns - 128)[..., None] < 100
    assert find_lookalikes(table({"a": skin(1) * lens, "b": skin(2) * lens})).empty


def test_rotations_and_flips_do_not_change_the_descriptor():
    square = np.asarray(Image.fromarray(skin(3)).resize((64, 64)))
    variants = np.stack([square, np.rot90(square), square[::-1], square.transpose(1, 0, 2)])
    own, *others = describe(variants)
    assert all(np.abs(own - other).max() < 1e-3 for other in others)
    assert own.shape == (200,)


def test_the_nearest_pictures_are_proposed_and_every_pair_only_once():
    points = np.random.default_rng(0).normal(size=(200, 40)).astype(np.float32)
    points[7] = points[150] + 0.01
    pairs = propose_pairs(points, points + np.float32(0.1))
    assert [7, 150] in pairs.tolist()
    assert (pairs[:, 0] < pairs[:, 1]).all()
    assert len(np.unique(pairs, axis=0)) == len(pairs) < 200 * 8


def test_the_alignment_of_a_crop_has_its_zoom_and_shift_and_refinement_improves_it():
    big = np.asarray(Image.fromarray(skin(4)).resize((640, 640)).convert("L"))
    box = (40, 20, 616, 596)  # left, top, right, bottom: nine tenths
    grey = np.stack([np.asarray(Image.fromarray(square).resize((64, 64))) for square in (big, big[20:596, 40:616])])
    small, soft = detail(halve(grey)), blur(grey)
    alignment = align(small[:1], small[1:], soft[:1], soft[1:])
    assert alignment.zoom[0] == pytest.approx([0.9, 0.9], abs=0.04)
    assert alignment.shift[0] == pytest.approx([box[1] / 640, box[0] / 640], abs=0.05)
    assert correlate_details(detail(grey[:1]), views(detail(grey[1:]))[:, alignment.view[0]], alignment)[0] > 0.85


def test_unreadable_pictures_are_listed_together(tmp_path: Path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"no picture")
    with pytest.raises(InputFault, match=r"cannot be read: 2 \(a, b\)"):
        make_traces({"a": tmp_path / "a.jpg", "b": tmp_path / "b.jpg"}, jobs=1)


def test_traces_are_made_once_and_again_if_a_picture_changes(tmp_path: Path):
    picture = tmp_path / "a.png"
    Image.fromarray(skin(0)).save(picture)
    first = read_or_make_traces(tmp_path / "cache", {"a": picture}, jobs=1)
    time_of_writing = (tmp_path / "cache" / "traces.parquet").stat().st_mtime_ns
    pd.testing.assert_frame_equal(read_or_make_traces(tmp_path / "cache", {"a": picture}, jobs=1), first)
    assert (tmp_path / "cache" / "traces.parquet").stat().st_mtime_ns == time_of_writing
    Image.fromarray(skin(1)[:100]).save(picture)
    assert read_or_make_traces(tmp_path / "cache", {"a": picture}, jobs=1)["pixels"].item() != first["pixels"].item()
