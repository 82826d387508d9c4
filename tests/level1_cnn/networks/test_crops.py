"""Tests for crops.py: resampling keeps means and places, and is exact where nothing changes."""

import numpy as np
import pytest

from level1_cnn.networks.crops import resizing_matrix, spreading_matrix


@pytest.mark.parametrize(("source", "cells", "crop"), [(15, 8, 1.0), (7, 3, 0.8), (4, 4, 1.0), (3, 6, 0.5)])
def test_spreading_keeps_the_mean_and_the_place(source, cells, crop):
    values = np.random.default_rng(1).random(source)
    spread = spreading_matrix(source, cells, crop) @ values
    assert spread.mean() == pytest.approx(values.mean())
    first = spreading_matrix(source, cells, crop)[:, 0]
    assert first.argmax() == int((1 - crop) / 2 * cells)  # the first value lies where the crop begins


def test_a_picture_of_its_own_size_is_not_changed():
    np.testing.assert_array_equal(resizing_matrix(48, 48, 1.0), np.eye(48))
