"""Tests for mixing.py: targets are mixed in the same proportion as pictures."""

import numpy as np
import tensorflow as tf

from level1_cnn.augment.mixing import cut_mix, mix, mix_targets
from level1_cnn.augment.settings import Augmentation
from tests.level1_cnn.augment.noise_pictures import SEED

COUNT, SIDE = 40, 10


def black_and_white() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return black pictures with target (1, 0) and white ones with target (0, 1), so that the grey shows the target."""
    white = np.arange(COUNT) % 2
    pictures = np.broadcast_to(255.0 * white[:, None, None, None], (COUNT, SIDE, SIDE, 3)).astype(np.float32)
    return tf.constant(pictures), tf.constant(np.stack([1 - white, white], 1), tf.float32), tf.ones([COUNT])


def test_mixup_mixes_targets_like_pictures() -> None:
    pictures, targets, weights = mix(*black_and_white(), Augmentation(mixup=1.0), SEED)
    np.testing.assert_allclose(pictures.numpy().mean(axis=(1, 2, 3)) / 255, targets.numpy()[:, 1], atol=1e-5)
    np.testing.assert_allclose(np.ptp(pictures.numpy(), axis=(1, 2, 3)), 0)
    np.testing.assert_allclose(weights, 1, atol=1e-6)
    assert ((targets.numpy() > 0.01) & (targets.numpy() < 0.99)).any()


def test_cutmix_mixes_targets_by_the_area_of_the_square() -> None:
    pictures, targets, _ = mix(*black_and_white(), Augmentation(cutmix=1.0), SEED)
    np.testing.assert_allclose(pictures.numpy().mean(axis=(1, 2, 3)) / 255, targets.numpy()[:, 1], atol=1e-5)
    assert set(np.unique(pictures)) == {0, 255}
    assert ((targets.numpy() > 0.01) & (targets.numpy() < 0.99)).any()


def test_a_case_keeps_at_least_half_of_its_own_target() -> None:
    for settings in (Augmentation(mixup=1.0), Augmentation(cutmix=1.0)):
        before = black_and_white()
        after = mix(*before, settings, SEED)[1]
        assert tf.reduce_sum(before[1] * after, axis=1).numpy().min() >= 0.45


def test_probabilities_set_how_many_pictures_are_mixed_and_none_is_mixed_twice() -> None:
    both = Augmentation(mixup=1.0, mixup_probability=0.3, cutmix=1.0, cutmix_probability=0.3)
    rows = [mix(*black_and_white(), both, tf.constant([number, 0]))[0].numpy() for number in range(20)]
    pictures = np.concatenate(rows)
    has_mixup = ((pictures > 0) & (pictures < 255)).any(axis=(1, 2, 3))
    has_cutmix = np.ptp(pictures, axis=(1, 2, 3)) > 0
    assert not (has_mixup & has_cutmix).any()
    assert 0.1 < has_mixup.mean() < 0.2  # half of the partners have the same colour
    assert 0.1 < has_cutmix.mean() < 0.2


def test_without_mixup_and_cutmix_nothing_changes() -> None:
    before = black_and_white()
    assert all(old is new for old, new in zip(before, mix(*before, Augmentation(), SEED), strict=True))


def test_a_batch_of_one_is_its_own_partner() -> None:
    batch = tuple(part[:1] for part in black_and_white())
    for before, after in zip(batch, mix(*batch, Augmentation(mixup=1.0), SEED), strict=True):
        np.testing.assert_allclose(before, after)


def test_only_the_part_of_a_square_inside_the_picture_counts() -> None:
    black, white = tf.zeros([200, SIDE, SIDE, 3]), tf.ones([200, SIDE, SIDE, 3])
    result, share = cut_mix(black, white, tf.fill([200], 0.49), SEED)
    np.testing.assert_allclose(share, result.numpy().mean(axis=(1, 2, 3)), atol=1e-6)
    assert share.numpy().max() <= 0.49 + 1e-6
    assert share.numpy().min() < 0.3


def test_mixed_weights_and_targets_give_the_mixture_of_both_weighted_losses() -> None:
    targets, weights = tf.constant([[1.0, 0.0], [0.0, 1.0]]), tf.constant([1.0, 3.0])
    shares, partners = tf.constant([0.25, 0.5]), tf.constant([1, 0])
    new_targets, total = mix_targets(targets, weights, partners, shares)
    losses = np.array([0.4, 2.0])  # the loss of a prediction if the target is the first or the second class
    own, other = weights.numpy() * (1 - shares.numpy()), weights.numpy()[[1, 0]] * shares.numpy()
    expected = own * (targets.numpy() @ losses) + other * (targets.numpy()[[1, 0]] @ losses)
    np.testing.assert_allclose(total.numpy() * (new_targets.numpy() @ losses), expected, rtol=1e-6)


def test_cases_of_weight_zero_keep_weight_zero() -> None:
    targets = tf.constant([[1.0], [0.0]])
    new_targets, total = mix_targets(targets, tf.zeros([2]), tf.constant([1, 0]), tf.constant([0.25, 0.25]))
    np.testing.assert_allclose(total, 0)
    np.testing.assert_allclose(new_targets, [[0.75], [0.25]])


def test_a_tiny_alpha_gives_finite_shares() -> None:
    pictures, targets, _ = mix(*black_and_white(), Augmentation(mixup=0.001), SEED)
    assert np.isfinite(pictures).all()
    assert np.isfinite(targets).all()
