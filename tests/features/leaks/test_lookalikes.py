"""Tests for lookalikes.py and what it stands on: which altered copies are known again."""

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


def cropped(picture: np.ndarray) -> np.ndarray:
    return picture[5:-20, 25:-3]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda one: np.asarray(Image.fromarray(one).resize((100, 80))), id="rescaled"),
        pytest.param(lambda one: np.rot90(one), id="turned"),
        pytest.param(lambda one: one[:, ::-1], id="flipped"),
        pytest.param(lambda one: (one * 0.9).astype(np.uint8), id="darkened"),
        pytest.param(cropped, id="cropped"),
        pytest.param(lambda one: np.rot90(cropped(one))[::-1], id="cropped, turned and flipped"),
    ],
)
def test_an_altered_copy_is_known_again_and_nothing_else_is(change):
    pictures = {name: skin(seed) for seed, name in enumerate("abcd")}
    pairs = find_lookalikes(table(pictures | {"copy": np.ascontiguousarray(change(pictures["b"]))}))
    assert pairs[["first", "second"]].to_numpy().tolist() == [["b", "copy"]]


def test_all_changes_together_are_known_again_in_a_crowd_that_needs_proposals():
    pictures = {f"p{seed:02}": skin(seed, 120, 160) for seed in range(60)}
    copies = {f"{name} copy": alter(pictures[name], np.random.default_rng(7)) for name in list(pictures)[::6]}
    pairs = find_lookalikes(table(pictures | copies))
    found = set(map(tuple, pairs[["first", "second"]].to_numpy()))
    planted = {(name.removesuffix(" copy"), name) for name in copies}
    assert found <= planted
    assert len(found) >= 0.9 * len(planted)


def test_pictures_that_show_nothing_are_like_no_other():
    blank = np.full((40, 50, 3), 200, np.uint8)
    assert find_lookalikes(table({"a": blank, "b": blank.copy(), "c": blank[:30]})).empty


def test_very_small_pictures_are_alike_only_when_their_pixels_are_the_same():
    small = np.asarray(Image.fromarray(skin(5)).resize((40, 30)))
    pairs = find_lookalikes(table({"a": small, "b": small.copy(), "c": small[::-1]}))
    assert pairs.to_numpy().tolist() == [["a", "b", 1.0]]


def test_one_picture_has_no_pair():
    assert find_lookalikes(table({"a": skin(0)})).columns.tolist() == ["first", "second", "alike"]


def test_dark_round_corners_do_not_make_two_pictures_alike():
    rows, columns = np.mgrid[:192, :256]
    lens = np.hypot(rows - 96, columns - 128)[..., None] < 100
    assert find_lookalikes(table({"a": skin(1) * lens, "b": skin(2) * lens})).empty


def test_turns_flips_and_light_leave_the_descriptor_as_it_is():
    square = np.asarray(Image.fromarray(skin(3)).resize((64, 64)))
    changed = np.stack([square, np.rot90(square), square[::-1], square.transpose(1, 0, 2)])
    own, *others = describe(changed)
    assert all(np.abs(own - other).max() < 1e-3 for other in others)
    assert own.shape == (200,)


def test_the_nearest_pictures_are_proposed_and_each_pair_once():
    points = np.random.default_rng(0).normal(size=(200, 40)).astype(np.float32)
    points[7] = points[150] + 0.01
    pairs = propose_pairs(points, points + np.float32(0.1))
    assert [7, 150] in pairs.tolist()
    assert (pairs[:, 0] < pairs[:, 1]).all()
    assert len(np.unique(pairs, axis=0)) == len(pairs) < 200 * 8


def test_the_placement_of_a_crop_tells_its_zoom_and_shift_and_its_refinement_is_exact():
    big = np.asarray(Image.fromarray(skin(4)).resize((640, 640)).convert("L"))
    box = (40, 20, 616, 596)  # left, top, right, bottom: nine tenths
    grey = np.stack([np.asarray(Image.fromarray(one).resize((64, 64))) for one in (big, big[20:596, 40:616])])
    small, soft = detail(halve(grey)), blur(grey)
    placed = align(small[:1], small[1:], soft[:1], soft[1:])
    assert placed.zoom[0] == pytest.approx([0.9, 0.9], abs=0.04)
    assert placed.shift[0] == pytest.approx([box[1] / 640, box[0] / 640], abs=0.05)
    assert correlate_details(detail(grey[:1]), views(detail(grey[1:]))[:, placed.view[0]], placed)[0] > 0.85


def test_unreadable_pictures_are_named_together(tmp_path: Path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"no picture")
    with pytest.raises(InputFault, match=r"cannot be read: 2 \(a, b\)"):
        make_traces({"a": tmp_path / "a.jpg", "b": tmp_path / "b.jpg"}, jobs=1)


def test_traces_are_made_once_and_again_when_a_picture_changes(tmp_path: Path):
    picture = tmp_path / "a.png"
    Image.fromarray(skin(0)).save(picture)
    first = read_or_make_traces(tmp_path / "kept", {"a": picture}, jobs=1)
    written = (tmp_path / "kept" / "traces.parquet").stat().st_mtime_ns
    pd.testing.assert_frame_equal(read_or_make_traces(tmp_path / "kept", {"a": picture}, jobs=1), first)
    assert (tmp_path / "kept" / "traces.parquet").stat().st_mtime_ns == written
    Image.fromarray(skin(1)[:100]).save(picture)
    assert read_or_make_traces(tmp_path / "kept", {"a": picture}, jobs=1)["pixels"].item() != first["pixels"].item()
