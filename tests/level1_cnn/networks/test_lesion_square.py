"""Tests for lesion_square.py and the crop to it: the square is around the lesion, and a network sees it."""

import numpy as np
import pytest
from PIL import Image

from features.pictures.statistics.lesion import lesion_mask
from level1_cnn.networks.crops import resample, spreading_matrix
from level1_cnn.networks.lesion_square import AROUND, GRID, SMALLEST, lesion_square
from level1_cnn.networks.network import build_backbone, with_last_map
from level1_cnn.training_settings import FrozenFeatures, PictureInput
from tests.level1_cnn.drawn_run import tiny_experiment

SIDE = 192
CELL = 1 / GRID
SKIN, BROWN, BLACK = (210, 170, 150), (110, 70, 50), (15, 10, 10)


def picture(row=0.5, column=0.5, radius=0.15, skin=SKIN, lesion=BROWN, seed=0):
    """Draw a round lesion on skin; place and radius are shares of the side, and radius 0 draws none."""
    pixels = np.full((SIDE, SIDE, 3), skin, np.float32)
    pixels[away(row, column) < radius] = lesion
    return np.clip(pixels + np.random.default_rng(seed).normal(0, 4, (SIDE, SIDE, 1)), 0, 255).astype(np.float32)


def away(row, column):
    line = (np.arange(SIDE) + 0.5) / SIDE
    return np.hypot(line[:, np.newaxis] - row, line - column)


def squares_of(*pictures):
    squares = np.asarray(lesion_square(resample(np.stack(pictures), spreading_matrix(SIDE, GRID, 1.0))))
    assert (squares[:, :2] >= 0).all()
    assert (squares[:, :2] + squares[:, 2:] <= 1 + 1e-6).all()
    return squares


def expected(row, column, radius):
    side = np.clip(2 * AROUND * radius, SMALLEST, 1)
    return [*np.clip([row - side / 2, column - side / 2], 0, 1 - side), side]


@pytest.mark.parametrize("place", [(0.5, 0.5, 0.15), (0.35, 0.6, 0.2), (0.5, 0.5, 0.04), (0.25, 0.3, 0.12)])
def test_the_square_is_around_the_lesion(place):
    (square,) = squares_of(picture(*place))
    np.testing.assert_allclose(square, expected(*place), atol=3 * AROUND * CELL)


def test_a_hair_a_second_mole_dark_corners_and_a_ruler_are_no_part_of_it():
    place = (0.45, 0.5, 0.14)
    hairy, beside, lens, ruler = (picture(*place) for _ in range(4))
    hairy[:, 40:42] = BLACK
    beside[away(0.8, 0.75) < 0.06] = BROWN
    lens[away(0.5, 0.5) > 0.55] = BLACK
    ruler[::12, 175:190] = BLACK
    for square in squares_of(hairy, beside, lens, ruler):
        np.testing.assert_allclose(square, expected(*place), atol=3 * AROUND * CELL)


def test_without_a_lesion_the_square_is_the_whole_picture():
    flat = np.full((SIDE, SIDE, 3), SKIN, np.float32)
    for square in squares_of(flat, np.zeros_like(flat), np.full_like(flat, 255)):
        np.testing.assert_array_equal(square, [0, 0, 1])


def test_noise_is_no_lesion():
    for square in squares_of(*(picture(radius=0, seed=seed) for seed in range(8))):
        np.testing.assert_array_equal(square, [0, 0, 1])


def test_the_square_follows_the_colour_of_the_skin():
    dark, light = picture(skin=(90, 60, 45), lesion=(35, 20, 15)), picture()
    np.testing.assert_allclose(*squares_of(dark, light), atol=2 * CELL)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_square_around_what_the_picture_statistics_segment(seed):
    random = np.random.default_rng(seed)
    pixels = picture(*random.uniform(0.35, 0.65, 2), random.uniform(0.08, 0.25), seed=seed)
    rows, columns = np.nonzero(lesion_mask(pixels.astype(np.uint8)))
    side = max(AROUND * (1 + max(np.ptp(rows), np.ptp(columns))) / SIDE, SMALLEST)
    middles = [(line.min() + line.max() + 1) / 2 / SIDE for line in (rows, columns)]
    (square,) = squares_of(pixels)
    np.testing.assert_allclose(square, [*(middle - side / 2 for middle in middles), side], atol=3 * AROUND * CELL)


def model(*inputs):
    return build_backbone(tiny_experiment(FrozenFeatures(method="frozen", inputs=inputs), image_size=SIDE))


def test_the_network_sees_the_square():
    pixels = picture(0.4, 0.6, 0.15)
    row, column, side = (float(value) * SIDE for value in squares_of(pixels)[0])
    image = Image.fromarray(pixels.astype(np.uint8))
    crop = image.resize((64, 64), Image.Resampling.BILINEAR, box=(column, row, column + side, row + side))
    whole = build_backbone(tiny_experiment(FrozenFeatures(method="frozen"), image_size=64))
    features = np.asarray(model(PictureInput(side=64, crop="lesion"))(pixels[np.newaxis]))
    alone = np.asarray(whole(np.asarray(crop, np.float32)[np.newaxis]))
    np.testing.assert_allclose(features, alone, atol=0.01)  # Pillow rounds to whole values of pixels
    other = np.asarray(model(PictureInput(side=64))(pixels[np.newaxis]))
    assert np.abs(features - other).max() > 10 * np.abs(features - alone).max()


def test_no_heat_lies_outside_of_the_square():
    pixels = picture(0.3, 0.3, 0.12)
    maps, features = (
        np.asarray(out) for out in with_last_map(model(PictureInput(side=64, crop="lesion")))(pixels[np.newaxis])
    )
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), features, rtol=1e-4, atol=1e-5)
    assert maps[0, 2, 2].any()
    assert not maps[0, -1, -1].any()
