"""Tests for level1_cnn/views.py and augment.py: the eight views form a group, every picture gets its own change."""

import numpy as np
import pytest
import tensorflow as tf

from level1_cnn import augment as change
from level1_cnn.augment.settings import Augmentation
from level1_cnn.views import VIEWS, draw_views, view

SEED = tf.constant([3, 5], tf.int64)
STILL = Augmentation(dihedral=False, rotation=0, zoom=0, shift=0, brightness=0, contrast=0, saturation=0, dropout=0)


def pictures(count: int = 4, side: int = 12) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3)).astype(np.float32)


def test_the_views_are_eight_different_pictures_and_the_first_is_the_picture() -> None:
    shown = [view(pictures(), index) for index in range(VIEWS)]
    np.testing.assert_array_equal(shown[0], pictures())
    assert len({one.tobytes() for one in map(np.ascontiguousarray, shown)}) == VIEWS


@pytest.mark.parametrize("first", range(VIEWS))
def test_the_views_form_a_group(first: int) -> None:
    """A view of a view is a view, and each of the eight is reached exactly once."""
    known = {np.ascontiguousarray(view(pictures(), index)).tobytes(): index for index in range(VIEWS)}
    reached = [np.ascontiguousarray(view(view(pictures(), first), second)).tobytes() for second in range(VIEWS)]
    assert sorted(known[one] for one in reached) == list(range(VIEWS))


def test_drawn_views_differ_between_the_pictures_of_a_batch_and_all_eight_occur() -> None:
    same = np.repeat(pictures(1), 200, axis=0)
    drawn = draw_views(tf.constant(same), SEED).numpy()
    known = {np.ascontiguousarray(view(same[:1], index)).tobytes(): index for index in range(VIEWS)}
    counts = np.bincount([known[one[np.newaxis].tobytes()] for one in drawn], minlength=VIEWS)
    assert counts.min() > 10


CHANGES = {
    "move": lambda batch, seed: change.move(batch, Augmentation(), seed),
    "relight": lambda batch, seed: change.relight(batch, 0.2, 0.2, seed),
    "resaturate": lambda batch, seed: change.resaturate(batch, 0.5, seed),
    "drop_square": lambda batch, seed: change.drop_square(batch, 0.3, seed),
    "augment": lambda batch, seed: change.augment(batch, Augmentation(dropout=0.2), seed),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_drawn_per_picture_and_follows_its_seed(name: str) -> None:
    same = tf.constant(np.repeat(pictures(1), 3, axis=0))
    one = CHANGES[name](same, SEED).numpy()
    assert one.shape == same.shape
    assert not np.allclose(one[0], one[1])
    np.testing.assert_array_equal(one, CHANGES[name](same, SEED).numpy())
    assert not np.allclose(one, CHANGES[name](same, SEED + 1).numpy())


@pytest.mark.parametrize("name", CHANGES)
def test_inside_tf_data_a_change_is_drawn_anew_for_every_batch_and_equals_the_eager_one(name: str) -> None:
    batch = tf.constant(pictures(2))
    numbered = tf.data.Dataset.range(3).map(
        lambda number: CHANGES[name](batch, tf.stack([tf.constant(3, tf.int64), number]))
    )
    changed = list(numbered.as_numpy_iterator())
    assert not np.allclose(changed[0], changed[1])
    eager = CHANGES[name](batch, tf.constant([3, 2], tf.int64)).numpy()
    np.testing.assert_allclose(changed[2], eager, atol=0.51)


def test_with_everything_off_nothing_changes() -> None:
    batch = pictures()
    np.testing.assert_array_equal(change.augment(tf.constant(batch), STILL, SEED).numpy(), batch)


def test_pixels_stay_within_their_range() -> None:
    wild = Augmentation(brightness=0.9, contrast=0.9, saturation=0.9)
    changed = change.augment(tf.constant(pictures(16)), wild, SEED).numpy()
    assert changed.min() >= 0
    assert changed.max() <= 255


def test_a_moved_picture_without_amounts_is_the_picture() -> None:
    batch = pictures()
    np.testing.assert_allclose(change.move(tf.constant(batch), STILL, SEED).numpy(), batch, atol=1e-2)


def test_a_shift_moves_by_at_most_its_share() -> None:
    side = 40
    dot = np.zeros((30, side, side, 3), np.float32)
    dot[:, side // 2, side // 2] = 255
    moved = change.move(tf.constant(dot), STILL.model_copy(update={"shift": 0.1}), SEED).numpy()[..., 0]
    weights = moved / moved.sum(axis=(1, 2), keepdims=True)
    rows = (weights.sum(axis=2) * np.arange(side)).sum(axis=1) - side // 2
    assert np.abs(rows).max() <= 0.1 * side + 0.01
    assert rows.std() > 0.5
