"""Tests for colour.py: the quantities that each change of light keeps or changes."""

import numpy as np
import pytest
import tensorflow as tf

from level1_cnn.augment.colour import LUMA, map_colours, recolour
from tests.level1_cnn.augment.noise_pictures import NO_CHANGES, SEED


def mid_tones(side: int = 6) -> np.ndarray:
    """Return pictures whose colours are far enough from the ends of the range to avoid clipping."""
    return np.random.default_rng(0).uniform(110, 150, (5, side, side, 3)).astype(np.float32)


def relight(pictures: np.ndarray, **amounts: float) -> np.ndarray:
    return recolour(tf.constant(pictures), NO_CHANGES.model_copy(update=amounts), SEED).numpy()


def test_hue_keeps_the_luma_and_changes_the_colour() -> None:
    result = relight(mid_tones(), hue=180)
    np.testing.assert_allclose(result @ LUMA, mid_tones() @ LUMA, atol=0.01)
    assert np.abs(result - mid_tones()).max() > 5


def test_saturation_keeps_the_luma_and_scales_the_distance_from_grey_by_a_factor_per_picture() -> None:
    result, before = relight(mid_tones(), saturation=0.5), mid_tones()
    np.testing.assert_allclose(result @ LUMA, before @ LUMA, atol=0.01)
    far = np.abs(before - (before @ LUMA)[..., None]) > 3
    factors = (result - (result @ LUMA)[..., None]) / (before - (before @ LUMA)[..., None])
    for factor, is_far in zip(factors, far, strict=True):
        assert np.ptp(factor[is_far]) < 0.01
        assert 0.5 <= factor[is_far].mean() <= 1.5


def test_contrast_keeps_the_mean_colour_and_scales_the_spread() -> None:
    result = relight(mid_tones(), contrast=0.5)
    np.testing.assert_allclose(result.mean(axis=(1, 2)), mid_tones().mean(axis=(1, 2)), atol=0.01)
    spread = result.std(axis=(1, 2)) / mid_tones().std(axis=(1, 2))
    assert np.ptp(spread, axis=1).max() < 0.01
    assert np.ptp(spread[:, 0]) > 0.1


def test_brightness_adds_one_number_per_picture() -> None:
    change = relight(mid_tones(), brightness=0.2) - mid_tones()
    assert np.ptp(change, axis=(1, 2, 3)).max() < 0.01
    assert np.abs(change).max() <= 0.2 * 255
    assert np.ptp(change[:, 0, 0, 0]) > 1


def test_colour_changes_do_not_affect_a_grey_picture() -> None:
    grey = np.full((3, 4, 4, 3), 90, np.float32)
    np.testing.assert_allclose(relight(grey, hue=180, saturation=0.9, contrast=0.9), grey, atol=0.01)


@pytest.mark.parametrize("side", [4, 5])
def test_a_colour_map_is_a_matrix_and_an_offset_clipped_to_the_range(side: int) -> None:
    matrices = np.random.default_rng(1).normal(size=(5, 3, 3)).astype(np.float32)
    offsets = np.random.default_rng(2).normal(scale=90, size=(5, 3)).astype(np.float32)
    result = map_colours(tf.constant(mid_tones(side)), tf.constant(matrices), tf.constant(offsets)).numpy()
    expected = np.einsum("nab,nhwb->nhwa", matrices, mid_tones(side)) + offsets[:, None, None]
    np.testing.assert_allclose(result, expected.clip(0, 255), atol=0.01)
