"""Tests of the drawn signs: each changes how structures are arranged, and little of how much of them there is."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import label
from scipy.stats import spearmanr

from features.clinic.camera import Field, centred_grid
from features.clinic.cohort import LOOKS, PHENOTYPE, SIGNS
from features.clinic.description import Lesion
from features.clinic.structures import Plane, clods, pigment_network, regression, streaks, veil

SHAPE = (140, 140)
RADIUS = 0.3
MIDDLE = Lesion(**dict.fromkeys((*SIGNS, *LOOKS, *PHENOTYPE), 0.5), camera=0)
LEVELS = np.linspace(0.02, 0.98, 40)
Y, X = (axis / np.float32(RADIUS) for axis in centred_grid(SHAPE))
INSIDE = (np.hypot(X, Y) < 1).astype(np.float32)
BROWN = INSIDE[..., None] * np.array((0.5, 1.0, 1.5), np.float32)
BLUE, RED = 2, 0  # channels


def _plane(crowded_side: float = 0.0) -> Plane:
    return Plane(X, Y, (0.0, 0.0), RADIUS, crowded_side)


def _over_levels(sign: str, measure: Callable[[Lesion, np.random.Generator], float]) -> tuple[float, float]:
    """Return the rank correlation of ``measure`` with the sign, and the ratio of its means at high and low levels."""
    lesions = [replace(MIDDLE, **{"imbalance": 0.0, sign: level}) for level in LEVELS]
    values = np.array([measure(lesion, np.random.default_rng(seed)) for seed, lesion in enumerate(lesions)])
    return spearmanr(LEVELS, values).statistic, values[30:].mean() / values[:10].mean()


def _scale(field: Field) -> float:
    """Return the mean wavelength of ``field``, in pixels."""
    power = np.abs(np.fft.fft2((field - field.mean()) * INSIDE)) ** 2
    frequency = np.hypot(np.fft.fftfreq(SHAPE[0])[:, None], np.fft.fftfreq(SHAPE[1])[None])
    return float(power.sum() / (power * frequency).sum())


def _pieces(field: Field) -> int:
    return label(field > 0.5)[1]


def test_an_atypical_network_has_wider_holes_and_as_much_pigment():
    correlation, _ = _over_levels("atypia", lambda lesion, rng: _scale(pigment_network(lesion, _plane(), rng)))
    _, ratio = _over_levels("atypia", lambda lesion, rng: float(pigment_network(lesion, _plane(), rng).mean()))
    assert correlation > 0.9
    assert ratio == pytest.approx(1, abs=0.02)


def test_clods_are_fewer_and_larger_than_globules_and_cover_as_much():
    correlation, _ = _over_levels("clods", lambda lesion, rng: -_pieces(clods(lesion, _plane(), rng)))
    _, ratio = _over_levels("clods", lambda lesion, rng: float(clods(lesion, _plane(), rng).mean()))
    assert correlation > 0.8
    assert ratio == pytest.approx(1, abs=0.3)


def test_streaks_reach_further_beyond_the_border_than_dots_and_cover_as_much():
    def reach(lesion: Lesion, rng: np.random.Generator) -> float:
        return float(np.hypot(X, Y)[streaks(lesion, _plane(), rng) > 0.5].max())

    correlation, _ = _over_levels("streaks", reach)
    _, ratio = _over_levels("streaks", lambda lesion, rng: float(streaks(lesion, _plane(), rng).mean()))
    assert correlation > 0.8
    assert ratio == pytest.approx(1, abs=0.5)


def test_a_veil_is_an_area_without_structure_and_no_veil_a_thin_tint():
    def blue_share(lesion: Lesion, rng: np.random.Generator) -> float:
        colour = veil(lesion, BROWN, INSIDE, _plane(), rng)
        return float((colour[..., BLUE] < 0.8)[INSIDE > 0].mean())

    def redness(lesion: Lesion, rng: np.random.Generator) -> float:
        return float(veil(lesion, BROWN, INSIDE, _plane(), rng)[..., RED][INSIDE > 0].mean())

    assert _over_levels("veil", blue_share)[0] > 0.7
    assert _over_levels("veil", redness)[1] == pytest.approx(1, abs=0.25)


def test_regression_is_a_white_area_with_grey_pepper():
    def white_share(lesion: Lesion, rng: np.random.Generator) -> float:
        colour = regression(lesion, BROWN, INSIDE, _plane(), rng)
        return float((colour[..., RED] < 0.2)[INSIDE > 0].mean())

    assert _over_levels("regression", white_share)[0] > 0.7
    scar = regression(replace(MIDDLE, regression=1.0), BROWN, INSIDE, _plane(), np.random.default_rng(0))
    assert (scar[..., RED] > 0.53).any()


@pytest.mark.parametrize("draw", [clods, streaks])
@pytest.mark.parametrize("crowded_side", [0.0, 2.0])
def test_imbalance_crowds_structures_on_one_side(draw, crowded_side):
    plane = _plane(crowded_side)

    def lean(lesion: Lesion, rng: np.random.Generator) -> float:
        field = draw(lesion, plane, rng)
        return float((field * plane.lean()).sum() / field.sum())

    assert _over_levels("imbalance", lean)[0] > 0.65


def test_imbalance_makes_the_network_stronger_on_one_side():
    def difference(lesion: Lesion, rng: np.random.Generator) -> float:
        contrast = np.abs(pigment_network(lesion, _plane(), rng) - 1)
        return float(contrast[(X > 0.3) & (INSIDE > 0)].mean() / contrast[(X < -0.3) & (INSIDE > 0)].mean())

    assert _over_levels("imbalance", difference)[0] > 0.8


def test_a_lesion_without_any_pixel_has_no_areas():
    nowhere = np.zeros(SHAPE, np.float32)
    assert np.array_equal(regression(MIDDLE, BROWN, nowhere, _plane(), np.random.default_rng(0)), BROWN)
