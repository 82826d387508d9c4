"""Tests for field_of_view.py: dark corners are cut off, and nothing else is."""

import numpy as np
import pytest
from pydantic import ValidationError

from level1_cnn.networks.crops import resample, spreading_matrix
from level1_cnn.networks.field_of_view import GRID, SHARES, lit_share
from level1_cnn.networks.network import build_backbone, with_last_map
from level1_cnn.training_settings import FrozenFeatures, PictureInput
from tests.level1_cnn.drawn_run import tiny_experiment

SIDE = 96
SKIN, BLACK = (200, 160, 140), (5, 5, 5)


def picture(radius=None, lesion=None, corner=0, skin=SKIN):
    """Draw skin through a lens of a radius in half sides, with a black lesion of a radius, and a dark corner in px."""
    line = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    distance = np.hypot(line[:, np.newaxis], line)
    pixels = np.full((SIDE, SIDE, 3), skin, np.float32)
    pixels[distance < (lesion or 0)] = BLACK
    pixels[distance > (radius or 2)] = BLACK
    pixels[:corner, :corner] = BLACK
    return pixels


def shares_of(*pictures):
    choice = np.asarray(lit_share(resample(np.stack(pictures), spreading_matrix(SIDE, GRID, 1.0))))
    assert set(np.unique(choice)) <= {0, 1}
    assert (choice.sum(axis=1) == 1).all()
    return [SHARES[column] for column in choice.argmax(axis=1)]


def test_a_picture_without_dark_corners_is_left_as_it_is():
    hairy = picture()
    hairy[:, ::12] = BLACK
    assert shares_of(picture(), hairy, picture(skin=(70, 50, 45)), picture(lesion=0.9)) == [1.0] * 4


def test_one_dark_corner_that_is_small_is_left():
    assert shares_of(picture(corner=6)) == [1.0]


@pytest.mark.parametrize("radius", [1.2, 1.0, 0.85])
def test_the_square_that_is_left_is_nearly_within_the_circle(radius):
    (share,) = shares_of(picture(radius=radius))
    largest_square = radius / np.sqrt(2)
    assert largest_square - 0.05 <= share <= largest_square + 0.12


def test_the_round_field_of_dark_skin_is_found_too():
    skin = (110, 75, 60)
    assert shares_of(picture(radius=1.0, skin=skin)) == shares_of(picture(radius=1.0))


def test_a_black_picture_and_a_black_frame_keep_the_smallest_share():
    assert shares_of(picture(skin=BLACK), picture(radius=0.5)) == [SHARES[-1]] * 2


def model(crop):
    training = FrozenFeatures(method="frozen", inputs=(PictureInput(side=48, crop=crop),))
    return build_backbone(tiny_experiment(training, image_size=SIDE))


def test_the_features_are_those_of_the_crop_that_each_picture_needs():
    lit, dark = picture(lesion=0.3), picture(radius=1.0, lesion=0.3)
    features = np.asarray(model("field_of_view")(np.stack([lit, dark])))
    (share,) = shares_of(dark)
    expected = [np.asarray(model(crop)(view[np.newaxis]))[0] for crop, view in ((1.0, lit), (share, dark))]
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)


def test_no_heat_lies_in_the_dark_corners():
    maps, features = (np.asarray(out) for out in with_last_map(model("field_of_view"))(picture(radius=0.8)[np.newaxis]))
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), features, rtol=1e-4, atol=1e-5)
    assert not maps[0, 0, 0].any()


@pytest.mark.parametrize("crop", ["lens", 0.2, 1.1, None])
def test_a_crop_is_a_share_or_the_field_of_view(crop):
    with pytest.raises(ValidationError, match="must be a share from"):
        PictureInput(side=48, crop=crop)
