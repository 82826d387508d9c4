"""Tests for benchmarks/elsewhere: drawn cameras, remedies, and the tables of heads that are used on another camera."""

import numpy as np
import pytest

from benchmarks.elsewhere.cameras import CAMERAS, OWN, take
from benchmarks.elsewhere.remedies import LAST_MAP, REMEDIES, drop_shifting, standardise
from benchmarks.elsewhere.sets import read_sets
from tests.level1_cnn.drawn_run import draw_data


def skin():
    picture = np.full((120, 160, 3), (200, 160, 140), np.uint8)
    picture[40:80, 60:100] = (90, 60, 50)
    return picture


@pytest.mark.parametrize("camera", [name for name in CAMERAS if name != OWN])
def test_a_drawn_camera_changes_a_picture_in_the_same_way_each_time(camera):
    once, twice = (take(skin(), camera, "a") for _ in range(2))
    assert once.dtype == np.uint8
    assert once.shape[2] == 3
    np.testing.assert_array_equal(once, twice)
    assert once.shape != skin().shape or (once != skin()).any()


def test_the_own_camera_changes_nothing_and_dark_corners_are_dark():
    np.testing.assert_array_equal(take(skin(), OWN, "a"), skin())
    dark = take(skin(), "dark corners", "a")
    assert dark[0, 0].max() < 30 < dark[60, 80].min()


def test_cameras_with_other_gains_have_the_same_features_after_standardisation():
    home = np.random.default_rng(0).normal(3, 2, (50, 4))
    first, second = standardise(home, home * 1.7 + 5)
    np.testing.assert_allclose(first, second, atol=1e-4)


def test_the_column_that_shifts_is_left_out():
    home = np.random.default_rng(0).normal(size=(200, 4))
    elsewhere = np.random.default_rng(1).normal([0, 0, 9, 0], size=(200, 4))
    steady, others = drop_shifting(home, elsewhere)
    assert steady.shape == others.shape == (200, 3)
    np.testing.assert_array_equal(others, elsewhere[:, [0, 1, 3]])


def test_the_last_layer_is_the_mean_of_the_last_map():
    features = np.arange(4128.0)[np.newaxis]
    last = REMEDIES[0].layers(features)
    assert last.shape == (1, LAST_MAP)
    assert last[0, 0] == 4128 - 2 * LAST_MAP


def test_two_sets_have_folds_by_patient_and_no_copy_of_each_other(tmp_path):
    home, outside = draw_data(tmp_path / "home"), draw_data(tmp_path / "outside", seed=9)
    for path in (outside / "jpeg" / "train").glob("c00[01].jpg"):  # the same pictures in both folders, renamed
        path.write_bytes((home / "jpeg" / "train" / path.name).read_bytes())
    for path in (outside / "jpeg").rglob("*.jpg"):
        path.rename(path.with_name(f"o{path.name}"))
    for table in outside.glob("*.csv"):
        header, *rows = table.read_text().splitlines()
        table.write_text("\n".join([header, *(f"o{row}" for row in rows)]) + "\n")
    first, second = read_sets([home, outside], 20, 30, tmp_path / "traces")
    assert first.target.sum() == 20
    assert len(first.cases) == 50
    assert not {"oc000", "oc001"} & set(second.cases.index)
    for pictures in (first, second):
        assert pictures.cases.groupby("patient_id")["fold"].nunique().max() == 1
