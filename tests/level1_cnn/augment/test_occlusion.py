"""Tests for occlusion.py and hair.py: size and position of holes, of the microscope's circle and of hairs."""

import numpy as np
import tensorflow as tf

from level1_cnn.augment.hair import Strokes, coverage, draw_hair
from level1_cnn.augment.occlusion import add_vignette, darken_outside, erase_squares
from level1_cnn.augment.settings import Augmentation
from tests.level1_cnn.augment.noise_pictures import SEED, noise_pictures

PICTURES = noise_pictures(6, 20)


def test_a_hole_is_a_square_of_the_mean_colour() -> None:
    result = erase_squares(tf.constant(PICTURES), Augmentation(dropout=0.3), SEED).numpy()
    for before, after in zip(PICTURES, result, strict=True):
        mask = (after != before).any(axis=2)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert (len(rows), len(columns), mask.sum()) == (6, 6, 36)
        np.testing.assert_allclose(after[mask], np.tile(before.mean(axis=(0, 1)), (36, 1)), rtol=1e-4)


def test_several_holes_hide_more_pixels_than_one_and_at_most_their_sum() -> None:
    settings = Augmentation(dropout=0.2, dropout_holes=4)
    counts = (erase_squares(tf.constant(PICTURES), settings, SEED).numpy() != PICTURES).any(axis=3).sum(axis=(1, 2))
    assert counts.max() <= 4 * 16
    assert counts.min() > 16


def test_the_share_of_light_is_missing_only_outside_the_circle() -> None:
    white = tf.fill([1, 40, 40, 3], 200.0)
    result = darken_outside(white, tf.zeros([1, 2]), tf.constant([0.8]), tf.constant([0.02]), tf.constant([0.75]))
    picture = result.numpy()[0]
    np.testing.assert_allclose(picture[20, 20], 200, atol=0.1)
    np.testing.assert_allclose(picture[0, 0], 50, atol=0.1)
    # 4 pixels from the edge, the sigmoid of (0.775 - 0.8) / 0.02 = -1.25 removes 0.223 of the 0.75.
    np.testing.assert_allclose(picture[20, 4], 200 * (1 - 0.75 * 0.223), atol=1)
    assert (np.diff(picture[20, :20, 0]) >= -1e-3).all()


def test_the_circle_is_around_its_centre() -> None:
    """The centre is a quarter of the side below the middle, so the top is dark and the bottom is not."""
    result = darken_outside(
        tf.fill([1, 40, 40, 3], 200.0), tf.constant([[0.5, 0.0]]), tf.ones([1]), tf.constant([0.02]), tf.ones([1])
    ).numpy()[0]
    assert result[5, 20, 0] < 10
    assert result[39, 20, 0] > 190


def test_no_vignette_changes_the_middle() -> None:
    result = add_vignette(tf.constant(PICTURES), Augmentation(vignette=0.3), SEED).numpy()
    np.testing.assert_allclose(result[:, 8:12, 8:12], PICTURES[:, 8:12, 8:12], rtol=0.02)
    assert (result <= PICTURES).all()


def stroke(**changes: float | bool) -> Strokes:
    """Return one hair across the middle of the picture with a width of 0.01 of the side: 4 of 400 pixels."""
    upright = tf.constant([bool(changes.pop("upright", False))])
    level = {"middle": 0.5, "position": 0.5, "slope": 0.0, "bend": 0.0, "half_length": 9.0, "width": 0.01, "opacity": 1}
    values = {name: tf.constant([[value]], tf.float32) for name, value in (level | changes).items()}
    return Strokes(**values, upright=upright)


def test_a_level_hair_covers_exactly_its_width() -> None:
    column = np.r_[np.zeros(198), np.ones(4), np.zeros(198)]
    np.testing.assert_allclose(coverage(stroke(), tf.constant(400))[0], np.repeat(column[:, None], 400, axis=1))


def test_an_upright_hair_is_the_transpose_of_a_level_one() -> None:
    level, upright = (
        coverage(stroke(bend=0.5, slope=0.3, upright=flag), tf.constant(400))[0] for flag in (False, True)
    )
    np.testing.assert_array_equal(upright, tf.transpose(level))


def test_a_slanting_hair_is_as_wide_as_a_level_one() -> None:
    """At slope 1 the vertical section is longer by the square root of 2, and so is the cover of each column."""
    level, slanting = (coverage(stroke(slope=slope), tf.constant(400)).numpy()[0] for slope in (0.0, 1.0))
    np.testing.assert_allclose(slanting[:, 100:300].sum() / level[:, 100:300].sum(), 2**0.5, rtol=0.02)


def test_a_bent_hair_follows_its_quadratic() -> None:
    cover = coverage(stroke(bend=0.6), tf.constant(400)).numpy()[0]
    u = (np.arange(400) + 0.5) / 400
    centre = (cover * np.arange(400)[:, None]).sum(axis=0) / cover.sum(axis=0)
    np.testing.assert_allclose(centre, (0.5 + 0.6 * (u - 0.5) ** 2) * 400 - 0.5, atol=0.2)


def test_a_hair_has_its_length_and_thins_towards_the_tip() -> None:
    cover = coverage(stroke(half_length=0.25), tf.constant(400)).numpy()[0].sum(axis=0)
    assert not cover[:100].any()
    assert not cover[300:].any()
    np.testing.assert_allclose(cover[100:230], 4)
    assert 0 < cover[290] < 2


def test_hair_darkens_and_does_not_cover_most_of_the_skin() -> None:
    skin = np.full((5, 64, 64, 3), 200, np.float32)
    result = draw_hair(tf.constant(skin), Augmentation(hair=10), SEED).numpy()
    assert (result <= skin).all()
    cover = (result < 190).any(axis=3).mean(axis=(1, 2))
    assert (cover > 0).all()
    assert (cover < 0.4).all()
