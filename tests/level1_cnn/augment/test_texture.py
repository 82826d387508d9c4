"""Tests for texture.py: compares blur with scipy, checks moments of noise, and local contrast on small examples."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import gaussian_filter

from level1_cnn.augment.settings import Augmentation
from level1_cnn.augment.texture import add_noise, blur, blur_by, equalise
from tests.level1_cnn.augment.noise_pictures import SEED, noise_pictures

PICTURES = noise_pictures(3)


def test_blur_keeps_the_mean_and_removes_fine_structure() -> None:
    result = blur(tf.constant(PICTURES), Augmentation(blur=0.05), SEED).numpy()
    np.testing.assert_allclose(result.mean(axis=(1, 2)), PICTURES.mean(axis=(1, 2)), rtol=1e-4)
    spread = result.std(axis=(1, 2)) / PICTURES.std(axis=(1, 2))
    assert spread.max() <= 1
    assert spread.min() < 0.8


def test_every_picture_is_blurred_by_its_own_gaussian() -> None:
    sigmas = [0.0, 0.7, 2.0]
    result = blur_by(tf.constant(PICTURES), tf.constant(sigmas), tf.constant(6)).numpy()
    np.testing.assert_allclose(result[0], PICTURES[0], atol=0.01)
    for number in (1, 2):
        expected = gaussian_filter(PICTURES[number], sigmas[number], axes=(0, 1), mode="reflect", radius=6)
        np.testing.assert_allclose(result[number], expected, atol=0.05)


def test_noise_has_mean_zero_and_at_most_its_deviation() -> None:
    grey = np.full((8, 40, 40, 3), 128, np.float32)
    noise = add_noise(tf.constant(grey), Augmentation(noise=0.1), SEED).numpy() - grey
    assert np.abs(noise.mean(axis=(1, 2, 3))).max() < 2.5
    assert 0 < noise.std(axis=(1, 2, 3)).min() < noise.std(axis=(1, 2, 3)).max() < 0.1 * 255 * 1.05


@pytest.mark.parametrize(("name", "is_coloured"), [("noise", False), ("colour_noise", True)])
def test_grey_noise_is_equal_in_three_colours_and_colour_noise_differs(name: str, is_coloured: bool) -> None:
    grey = np.full((2, 8, 8, 3), 128, np.float32)
    noise = add_noise(tf.constant(grey), Augmentation(**{name: 0.2}), SEED).numpy()
    assert (np.ptp(noise, axis=3).max() > 1) == is_coloured


def test_equalising_a_flat_histogram_changes_nothing() -> None:
    """One tile of 16 x 16 with every grey level once: the cumulative histogram is the identity."""
    grey = np.random.default_rng(0).permutation(256).reshape(1, 16, 16, 1).repeat(3, axis=3).astype(np.float32)
    np.testing.assert_allclose(equalise(tf.constant(grey), tf.constant([4.0])).numpy(), grey, atol=1)


def test_at_a_limit_of_zero_nothing_is_stretched() -> None:
    np.testing.assert_allclose(equalise(tf.constant(PICTURES), tf.zeros([3])).numpy(), PICTURES, atol=1)


def test_without_a_limit_a_picture_of_low_contrast_is_stretched_over_the_whole_range() -> None:
    """Grey levels 100..115, 16 pixels each, in one tile: after equalisation they are 16 levels apart."""
    grey = (100 + np.arange(256) % 16).reshape(1, 16, 16, 1).repeat(3, axis=3).astype(np.float32)
    result = equalise(tf.constant(grey), tf.constant([256.0])).numpy()[0, 0, :, 0]
    np.testing.assert_allclose(np.diff(result), 255 / 16, atol=0.01)
    np.testing.assert_allclose(result[0], 255 / 32, atol=0.01)


def test_the_limit_bounds_the_stretching_of_grey_levels() -> None:
    grey = (100 + np.arange(256) % 16).reshape(1, 16, 16, 1).repeat(3, axis=3).astype(np.float32)
    steps = np.diff(equalise(tf.constant(grey), tf.constant([2.0])).numpy()[0, 0, :, 0])
    assert steps.max() <= 3
    assert steps.min() > 1


def test_each_tile_is_equalised_alone_and_no_seam_is_visible() -> None:
    """Two halves of low contrast, left dark and right bright: both gain contrast, and the transition is gradual."""
    columns = np.concatenate([40 + np.arange(32) % 8, 200 + np.arange(32) % 8])
    grey = np.tile(columns, (64, 1))[None, ..., None].repeat(3, axis=3).astype(np.float32)
    result = equalise(tf.constant(grey), tf.constant([8.0])).numpy()[0, 32, :, 0]
    assert np.ptp(result[:16]) > 3 * 8
    assert np.ptp(result[48:]) > 3 * 8
    assert result[8:24].max() < result[40:56].min()


def test_equalising_keeps_the_differences_between_colours() -> None:
    colours = np.random.default_rng(1).uniform(110, 130, (2, 32, 32, 3)).astype(np.float32)
    result = equalise(tf.constant(colours), tf.constant([2.0, 2.0])).numpy()
    np.testing.assert_allclose(result[..., 0] - result[..., 1], colours[..., 0] - colours[..., 1], atol=0.01)
