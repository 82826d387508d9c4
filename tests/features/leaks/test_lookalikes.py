"""Tests of lookalikes.py, its steps and traces.py: altered copies of a picture are found."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks.alterations import KINDS, alter
from features.leaks.content_frame import SIDE, framed_square
from features.leaks.discs import DISCS, best_turns, invariants, ring_spectra, smooth
from features.leaks.lookalikes import find_lookalikes
from features.leaks.proposals import STARTS, propose_pairs
from features.leaks.traces import make_traces, read_or_make_traces, trace
from runtime.errors import InputFault
from tests.features.leaks.skin_pictures import skin


def table(pictures: dict[str, np.ndarray]) -> pd.DataFrame:
    rows = {name: trace(picture) for name, picture in pictures.items()}
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
    pictures = {f"p{seed:02}": skin(seed, 240, 320) for seed in range(60)}
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


def frame_of_square(count: int) -> np.ndarray:
    return np.full((count, 4), [(SIDE - 1) / 2, (SIDE - 1) / 2, SIDE / 2, SIDE / 2], np.float32)


def test_turns_flips_and_gamma_do_not_change_the_numbers_of_a_disc():
    image = Image.fromarray(skin(3)).convert("L").resize((200, 200))
    variants = [
        image,
        image.rotate(33, Image.Resampling.BICUBIC),
        image.transpose(0),
        image.point(lambda v: v**2 // 255),
    ]
    grey = np.stack([np.asarray(variant.resize((SIDE, SIDE), Image.Resampling.BOX)) for variant in variants])
    other = np.asarray(Image.fromarray(skin(4)).convert("L").resize((SIDE, SIDE)))[None]
    spectra = ring_spectra(smooth(np.concatenate([grey, other])), np.arange(5), frame_of_square(5))
    own, *same, different = invariants(spectra)
    assert all(np.corrcoef(own, numbers)[0, 1] > 0.97 for numbers in same)
    assert np.corrcoef(own, different)[0, 1] < 0.5


def test_the_turn_of_a_disc_is_measured():
    image = Image.fromarray(skin(3)).convert("L").resize((200, 200))
    variants = [image, image.rotate(30, Image.Resampling.BICUBIC), image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    grey = np.stack([np.asarray(variant.resize((SIDE, SIDE), Image.Resampling.BOX)) for variant in variants])
    spectra = ring_spectra(smooth(grey), np.arange(3), frame_of_square(3))
    agreement, angle, flip = best_turns(spectra[[0, 0]], spectra[1:], 1)
    assert agreement.min() > 0.95
    assert np.degrees(angle[:, 0]) == pytest.approx([330, 180], abs=3)
    assert flip[:, 0].tolist() == [1, -1]


def test_a_black_border_is_cut_off_and_the_frame_fits_a_round_vignette():
    picture = skin(2, 200, 200)
    with_border = np.pad(picture, ((30, 50), (20, 20), (0, 0)))
    assert np.array_equal(framed_square(with_border)[0], framed_square(picture)[0])
    rows, columns = np.ogrid[:200, :200]
    lens = picture * (np.hypot(rows - 110, columns - 100) < 80)[..., None].astype(np.uint8)
    grey, frame = framed_square(lens)
    assert frame == pytest.approx([39.5, 39.5, 40, 40], abs=2.5)
    assert (grey[0, 0], grey[-1, -1]) == (0, 0)


def test_a_dark_picture_is_not_taken_for_a_border():
    grey, frame = framed_square(skin(1) // 16)
    assert grey.min() > 0
    assert frame[2] == pytest.approx(40, abs=0.1)


def test_the_nearest_pictures_are_proposed_with_their_nearest_discs_first():
    points = np.random.default_rng(0).normal(size=(200 * DISCS, 16)).astype(np.float32)
    points[7 * DISCS] = points[150 * DISCS + 5] + np.float32(0.01)
    pairs = propose_pairs(points)
    row = pairs[(pairs["first"] == 7) & (pairs["second"] == 150)]
    assert row[["first_disc", "second_disc"]].to_numpy()[0].tolist() == [0, 5]
    assert (pairs["first"] < pairs["second"]).all()
    assert not pairs.duplicated().any()
    assert pairs.groupby(["first", "second"]).size().max() == STARTS
    assert pairs[["first", "second"]].apply(tuple, axis=1).is_monotonic_increasing


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "mixture"])
def test_copies_of_every_kind_are_found(kind):
    pictures = {f"p{seed:02}": skin(seed, 240, 320) for seed in range(30)}
    originals = list(pictures)[::5]
    copies = {f"{name} copy": KINDS[kind](pictures[name], np.random.default_rng(1)) for name in originals}
    pairs = find_lookalikes(table(pictures | copies), jobs=1)
    lookalikes = set(map(tuple, pairs[["first", "second"]].to_numpy()))
    assert lookalikes <= {(name, f"{name} copy") for name in originals}
    assert len(lookalikes) >= 5


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
