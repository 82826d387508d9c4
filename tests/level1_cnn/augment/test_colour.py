"""Tests for colour.py: what each change of light keeps and moves."""

import numpy as np
import pytest
import tensorflow as tf

from level1_cnn.augment.colour import LUMA, map_colours, recolour
from tests.level1_cnn.augment.noise_pictures import NO_CHANGES, SEED


def muted(side: int = 6) -> np.ndarray:
    """Pictures whose colours are far enough from the ends of the range not to be cut."""
    return np.random.default_rng(0).uniform(110, 150, (5, side, side, 3)).astype(np.float32)


def lit(pictures: np.ndarray, **amounts: float) -> np.ndarray:
    return recolour(tf.constant(pictures), NO_CHANGES.model_copy(update=amounts), SEED).numpy()


def test_hue_keeps_the_luma_and_moves_the_colour() -> None:
    shown = lit(muted(), hue=180)
    np.testing.assert_allclose(shown @ LUMA, muted() @ LUMA, atol=0.01)
    assert np.abs(shown - muted()).max() > 5


def test_saturation_keeps_the_luma_and_scales_the_distance_from_grey_by_one_factor_per_picture() -> None:
    shown, before = lit(muted(), saturation=0.5), muted()
    np.testing.assert_allclose(shown @ LUMA, before @ LUMA, atol=0.01)
    far = np.abs(before - (before @ LUMA)[..., None]) > 3
    factors = (shown - (shown @ LUMA)[..., None]) / (before - (before @ LUMA)[..., None])
    for factor, seen in zip(factors, far, strict=True):
        assert np.ptp(factor[seen]) < 0.01
        assert 0.5 <= factor[seen].mean() <= 1.5


def test_contrast_keeps_the_mean_colour_and_scales_the_spread() -> None:
    shown = lit(muted(), contrast=0.5)
    np.testing.assert_allclose(shown.mean(axis=(1, 2)), muted().mean(axis=(1, 2)), atol=0.01)
    spread = shown.std(axis=(1, 2)) / muted().std(axis=(1, 2))
    assert np.ptp(spread, axis=1).max() < 0.01
    assert np.ptp(spread[:, 0]) > 0.1


def test_brightness_adds_one_number_per_picture() -> None:
    added = lit(muted(), brightness=0.2) - muted()
    assert np.ptp(added, axis=(1, 2, 3)).max() < 0.01
    assert np.abs(added).max() <= 0.2 * 255
    assert np.ptp(added[:, 0, 0, 0]) > 1


def test_a_grey_picture_has_no_colour_to_change() -> None:
    grey = np.full((3, 4, 4, 3), 90, np.float32)
    np.testing.assert_allclose(lit(grey, hue=180, saturation=0.9, contrast=0.9), grey, atol=0.01)


@pytest.mark.parametrize("side", [4, 5])
def test_a_colour_map_is_a_matrix_and_an_offset_for_every_pixel_cut_to_the_range(side: int) -> None:
    matrices = np.random.default_rng(1).normal(size=(5, 3, 3)).astype(np.float32)
    offsets = np.random.default_rng(2).normal(scale=90, size=(5, 3)).astype(np.float32)
    shown = map_colours(tf.constant(muted(side)), tf.constant(matrices), tf.constant(offsets)).numpy()
    expected = np.einsum("nab,nhwb->nhwa", matrices, muted(side)) + offsets[:, None, None]
    np.testing.assert_allclose(shown, expected.clip(0, 255), atol=0.01)
