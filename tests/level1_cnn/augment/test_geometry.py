"""Tests for geometry.py: symmetries, rotations by 90 degrees, zooms and shifts of tiny pictures."""

import math

import numpy as np
import tensorflow as tf

from level1_cnn.augment.geometry import apply_affine, apply_symmetry, transform, warp
from tests.level1_cnn.augment.noise_pictures import NO_CHANGES, SEED, noise_pictures

PICTURES = noise_pictures(4, 12)


def symmetries(picture: np.ndarray) -> list[np.ndarray]:
    rotations = [np.rot90(picture, quarter) for quarter in range(4)]
    return [*rotations, *(rotation.transpose(1, 0, 2) for rotation in rotations)]


def warp_one(matrix: list[list[float]], shift: tuple[float, float] = (0, 0), side: int = 12) -> np.ndarray:
    return warp(tf.constant(noise_pictures(1, side)), tf.constant([matrix]), tf.constant([shift], tf.float32)).numpy()[
        0
    ]


def test_a_symmetry_is_one_of_the_eight_and_all_occur() -> None:
    pictures = apply_symmetry(tf.constant(np.repeat(PICTURES[:1], 200, axis=0)), SEED).numpy()
    number_of = {np.ascontiguousarray(one).tobytes(): number for number, one in enumerate(symmetries(PICTURES[0]))}
    counts = np.bincount([number_of[picture.tobytes()] for picture in pictures], minlength=8)
    assert counts.min() > 10


def test_symmetries_within_the_resampling_are_the_same_eight() -> None:
    """A tiny zoom makes ``transform`` use a matrix and resampling."""
    settings = NO_CHANGES.model_copy(update={"dihedral": True, "zoom": 1e-6})
    pictures = transform(tf.constant(np.repeat(PICTURES[:1], 200, axis=0)), settings, SEED).numpy()
    errors = np.stack([np.abs(pictures - one).max(axis=(1, 2, 3)) for one in symmetries(PICTURES[0])])
    assert errors.min(axis=0).max() < 0.1
    assert np.bincount(errors.argmin(axis=0), minlength=8).min() > 10


def test_a_rotation_by_90_degrees_is_a_quarter_turn() -> None:
    cos, sin = math.cos(math.pi / 2), math.sin(math.pi / 2)
    np.testing.assert_allclose(warp_one([[cos, -sin], [sin, cos]]), np.rot90(PICTURES[0]), atol=0.1)


def test_a_matrix_of_a_half_shows_the_middle_half() -> None:
    """Output pixel p is the input at p / 2 from the centre: output 0 1 2 3 4 is input 1 1.5 2 2.5 3."""
    result = warp_one([[0.5, 0.0], [0.0, 0.5]], side=5)
    source = noise_pictures(1, 5)[0]
    np.testing.assert_allclose(result[::2, ::2], source[1:4, 1:4], atol=0.01)
    np.testing.assert_allclose(result[0, 1], source[1, 1:3].mean(axis=0), atol=0.01)


def test_a_shear_moves_rows_against_each_other() -> None:
    """Row y reads x + (y - centre): the middle row of 5 stays, the next one moves by a pixel."""
    result, source = warp_one([[1.0, 1.0], [0.0, 1.0]], side=5), noise_pictures(1, 5)[0]
    np.testing.assert_allclose(result[2], source[2], atol=0.01)
    np.testing.assert_allclose(result[3, :4], source[3, 1:], atol=0.01)


def test_the_picture_is_reflected_beyond_an_edge() -> None:
    """After a shift by 4 of 12 pixels, the last four columns mirror the four before them."""
    result, source = warp_one([[1.0, 0.0], [0.0, 1.0]], (4 / 12, 0)), PICTURES[0]
    np.testing.assert_allclose(result[:, :8], source[:, 4:], atol=0.01)
    np.testing.assert_allclose(result[:, 8:], source[:, :7:-1], atol=0.01)


def test_an_affine_map_without_amounts_changes_nothing() -> None:
    np.testing.assert_allclose(apply_affine(tf.constant(PICTURES), NO_CHANGES, SEED).numpy(), PICTURES, atol=0.01)


def test_a_shift_moves_by_at_most_its_share() -> None:
    side = 40
    dot = np.zeros((30, side, side, 3), np.float32)
    dot[:, side // 2, side // 2] = 255
    pictures = apply_affine(tf.constant(dot), NO_CHANGES.model_copy(update={"shift": 0.1}), SEED).numpy()[..., 0]
    weights = pictures / pictures.sum(axis=(1, 2), keepdims=True)
    rows = (weights.sum(axis=2) * np.arange(side)).sum(axis=1) - side // 2
    assert np.abs(rows).max() <= 0.1 * side + 0.01
    assert rows.std() > 0.5
