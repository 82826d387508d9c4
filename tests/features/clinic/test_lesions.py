"""Tests of the drawn lesions: a picture shows the values of its description."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_erosion, gaussian_filter, label
from scipy.stats import spearmanr

from features.clinic.camera import CAMERAS, photograph
from features.clinic.description import Lesion
from features.clinic.lesions import draw_lesion, write_lesion
from features.clinic.noise import cloud

PLAIN_CAMERA = 1  # no ruler, bright corners
CALM = Lesion(
    atypia=0.1, streaks=0.0, clods=0.0, veil=0.0, regression=0.0, imbalance=0.0,
    asymmetry=0.1, border=0.1, variegation=0.1, size=0.5, darkness=0.5, tone=0.2, redness=0.2,
    freckles=0.0, warmth=0.5, network=0.3, globules=0.2, hair=0.0, camera=PLAIN_CAMERA,
)  # fmt: skip


def _small(lesion: Lesion, seed: int) -> np.ndarray:
    picture = Image.fromarray(draw_lesion(lesion, np.random.default_rng(seed)))
    return np.asarray(picture.resize((128, 96)), np.float64) / 255


def _mask(picture: np.ndarray) -> np.ndarray:
    # Smoothed, so that the dots along the border are not part of the outline.
    brightness = gaussian_filter(picture.mean(axis=2), 1.5)
    parts, _ = label(brightness < 0.85 * np.median(brightness[:6]))
    return parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])


def _area(picture):
    return _mask(picture).sum()


def _blackness(picture):
    return -picture[_mask(picture)].mean()


def _colour_variance(picture):
    # The amount of one pigment moves log RGB along a line (Beer-Lambert); a second colour is away from that line.
    core = binary_erosion(_mask(picture), iterations=3)
    return np.linalg.eigvalsh(np.cov(np.log(picture[core] + 0.02).T))[1]


def _raggedness(picture):
    mask = _mask(picture).astype(int)
    perimeter = np.abs(np.diff(mask, axis=0)).sum() + np.abs(np.diff(mask, axis=1)).sum()
    return perimeter**2 / mask.sum()


def _one_sidedness(picture):
    # The share of darkness that does not overlap with itself after a rotation by 180 degrees around the middle.
    pigment = np.where(_mask(picture), 1 - picture.mean(axis=2), 0.0)
    rows, columns = (np.flatnonzero(pigment.any(axis=axis)) for axis in (1, 0))
    box = pigment[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.abs(box - box[::-1, ::-1]).sum() / box.sum()


@pytest.mark.parametrize(
    ("look", "statistic", "least"),
    [
        ("size", _area, 0.9),
        ("darkness", _blackness, 0.8),
        ("variegation", _colour_variance, 0.7),
        ("border", _raggedness, 0.7),
        ("asymmetry", _one_sidedness, 0.5),
    ],
)
def test_each_look_is_visible_at_96_pixels(look, statistic, least):
    levels = np.tile(np.linspace(0.02, 0.98, 12), 3)
    values = [statistic(_small(replace(CALM, **{look: level}), seed)) for seed, level in enumerate(levels)]
    assert spearmanr(levels[:12], np.reshape(values, (3, 12)).mean(axis=0)).statistic > least


def test_a_picture_depends_only_on_its_generator_and_description():
    first, again, other = (draw_lesion(CALM, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_file_depends_on_seed_and_case(tmp_path):
    for name, seed, case in (("a", 1, 2), ("b", 1, 2), ("c", 2, 1), ("d", 1, 3)):
        write_lesion(tmp_path / f"{name}.jpg", CALM, seed, case)
    a, b, c, d = (path.read_bytes() for path in sorted(tmp_path.iterdir()))
    assert a == b
    assert len({a, c, d}) == 3


@pytest.mark.parametrize("camera", range(len(CAMERAS)))
def test_every_camera_has_its_own_resolution_and_accepts_extreme_values(camera):
    for level in (0.0, 1.0):
        extreme = Lesion(*[level] * 18, camera=camera)
        picture = draw_lesion(extreme, np.random.default_rng(camera))
        assert picture.shape == (CAMERAS[camera].height, CAMERAS[camera].width, 3)
        assert picture.dtype == np.uint8
        assert picture.std() > 2


def test_hair_darkens_a_part_of_the_skin():
    skin = np.full((CAMERAS[PLAIN_CAMERA].height, CAMERAS[PLAIN_CAMERA].width, 3), 0.7, np.float32)
    hairy, bare = (
        photograph(skin, CAMERAS[PLAIN_CAMERA], hair, np.random.default_rng(0)).mean(axis=2) for hair in (1.0, 0.0)
    )
    assert (hairy < 100).mean() > 0.01
    assert (bare < 100).mean() == 0


def test_a_cloud_is_standardised_and_smooth():
    field = cloud(np.random.default_rng(0), (90, 120), cells=4, octaves=1)
    assert (field.mean(), field.std()) == (pytest.approx(0, abs=1e-4), pytest.approx(1, abs=1e-4))
    assert np.abs(np.diff(field, axis=1)).max() < 0.5
