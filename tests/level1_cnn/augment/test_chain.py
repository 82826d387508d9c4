"""Tests for the whole chain: random per picture and batch, the same eagerly and in tf.data, and within 0..255."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from level1_cnn.augment.chain import augment, mix
from level1_cnn.augment.draws import apply_to_some
from level1_cnn.augment.settings import AMOUNTS, Augmentation
from tests.level1_cnn.augment.noise_pictures import NO_CHANGES, SEED, noise_pictures

AMOUNT = {
    "dihedral": True,
    "rotation": 30,
    "zoom": 0.2,
    "shift": 0.2,
    "shear": 20,
    "brightness": 0.2,
    "contrast": 0.3,
    "saturation": 0.5,
    "hue": 30,
    "blur": 0.05,
    "noise": 0.1,
    "colour_noise": 0.1,
    "local_contrast": 3,
    "dropout": 0.3,
    "vignette": 0.5,
    "hair": 6,
    "mixup": 1.0,
    "cutmix": 1.0,
}
ALL = Augmentation(**AMOUNT, mixup_probability=0.5, cutmix_probability=0.5)
CHANGES = [*AMOUNT, "all"]


def apply_change(name: str, pictures: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    settings = ALL if name == "all" else ALL.only(name)
    count = tf.shape(pictures)[0]
    return mix(augment(pictures, settings, seed), tf.ones([count, 1]), tf.ones([count]), settings, seed)[0]


def test_the_amounts_of_this_file_cover_every_change() -> None:
    assert set(AMOUNT) == set(Augmentation.model_fields) - set(AMOUNTS)


@pytest.mark.parametrize("name", [name for name in CHANGES if name not in ("mixup", "cutmix")])
def test_a_change_differs_between_pictures(name: str) -> None:
    """Some of eight equal pictures may get the same symmetry, but not all of them."""
    same = tf.constant(np.repeat(noise_pictures(1), 8, axis=0))
    result = apply_change(name, same, SEED).numpy()
    assert result.shape == same.shape
    assert len({picture.tobytes() for picture in result}) >= (3 if name == "dihedral" else 7)


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_depends_on_its_seed(name: str) -> None:
    batch = tf.constant(noise_pictures())
    first = apply_change(name, batch, SEED).numpy()
    np.testing.assert_array_equal(first, apply_change(name, batch, SEED).numpy())
    assert not np.allclose(first, apply_change(name, batch, SEED + 1).numpy())


def test_in_tf_data_every_batch_has_its_own_changes_and_they_equal_the_eager_ones() -> None:
    """All changes are on, so that a difference between graph and eager mode in any of them is found."""
    batch = noise_pictures(3)
    batches = tf.data.Dataset.range(3).map(
        lambda number: apply_change("all", tf.constant(batch), tf.stack([tf.constant(3, tf.int64), number]))
    )
    results = list(batches.as_numpy_iterator())
    assert not np.allclose(results[0], results[1])
    for number in range(3):
        eager = apply_change("all", tf.constant(batch), tf.constant([3, number], tf.int64)).numpy()
        np.testing.assert_allclose(results[number], eager, atol=0.01)


def test_the_chain_gives_the_same_when_sizes_are_unknown() -> None:
    """Decoded pictures have no static shape, and the last batch of an epoch may be smaller."""
    batch = noise_pictures(2)
    unknown = tf.TensorSpec([None, None, None, 3], tf.float32)
    graph = tf.function(lambda pictures: apply_change("all", pictures, SEED), input_signature=[unknown])
    np.testing.assert_allclose(graph(batch).numpy(), apply_change("all", tf.constant(batch), SEED).numpy(), atol=0.01)


def test_the_chain_keeps_the_static_shape() -> None:
    spec = tf.TensorSpec([None, 24, 24, 3], tf.float32)
    graph = tf.function(lambda pictures: augment(pictures, ALL, SEED), input_signature=[spec])
    assert graph.get_concrete_function().output_shapes.as_list()[1:] == [24, 24, 3]


def test_without_changes_the_batch_is_returned_as_it_is() -> None:
    batch = tf.constant(noise_pictures())
    assert augment(batch, NO_CHANGES, SEED) is batch


EXTREMES = {
    name: st.sampled_from([0, most])
    for name, most in {
        "rotation": 180,
        "zoom": 0.99,
        "shift": 0.99,
        "shear": 45,
        "brightness": 0.99,
        "contrast": 0.99,
        "saturation": 0.99,
        "hue": 180,
        "blur": 0.05,
        "noise": 0.99,
        "colour_noise": 0.99,
        "local_contrast": 39,
        "dropout": 0.99,
        "vignette": 0.99,
        "hair": 100,
        "mixup": 10,
        "cutmix": 0.01,
    }.items()
}


@hypothesis_settings(max_examples=25)
@given(
    amounts=st.fixed_dictionaries(EXTREMES),
    picture=st.sampled_from(["noise", "black", "white"]),
    side=st.sampled_from([8, 31, 32]),
    seed=st.integers(0, 2**31),
)
def test_pixels_are_finite_and_in_range_for_all_settings(
    amounts: dict[str, float], picture: str, side: int, seed: int
) -> None:
    settings = NO_CHANGES.model_copy(update=amounts | {"mixup_probability": 0.5, "cutmix_probability": 0.5})
    batch = {"noise": 1, "black": 0, "white": 0}[picture] * noise_pictures(3, side) + 255.0 * (picture == "white")
    seeds = tf.constant([seed, 0], tf.int64)
    pictures = augment(tf.constant(batch, tf.float32), settings, seeds)
    targets = tf.constant([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    result, new_targets, weights = mix(pictures, targets, tf.constant([0.0, 1.0, 2.0]), settings, seeds)
    assert np.isfinite(result).all()
    assert result.numpy().min() >= 0
    assert result.numpy().max() <= 255
    np.testing.assert_allclose(new_targets.numpy().sum(axis=1), 1, atol=1e-6)
    assert weights.numpy().min() >= 0


def brighten(count: list[int]) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    def change(pictures: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        count.append(len(pictures))
        return pictures + 1

    return change


def test_a_change_is_computed_only_for_the_selected_pictures() -> None:
    counts: list[int] = []
    result = apply_to_some(tf.zeros([1000, 2, 2, 3]), 0.2, SEED, brighten(counts)).numpy()
    assert result.reshape(1000, -1).any(axis=1).sum() == counts[0]
    assert 150 < counts[0] < 250
    assert set(np.unique(result)) == {0, 1}


def test_a_change_without_selected_pictures_is_not_computed() -> None:
    counts: list[int] = []
    apply_to_some(tf.zeros([2, 2, 2, 3]), 1e-9, SEED, brighten(counts))
    assert counts == []
