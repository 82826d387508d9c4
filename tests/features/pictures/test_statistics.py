"""Tests of picture statistics: pictures with known values, and properties of all pictures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from features.pictures.statistics.colour import srgb_to_lab
from features.pictures.statistics.lesion import otsu_threshold
from features.pictures.statistics.picture import picture_statistics

SKIN, MOLE = (210, 160, 140), (110, 70, 60)
ROUNDING_TOLERANCE = {"rel": 1e-3, "abs": 1e-3}


def skin_with(mask: np.ndarray, mole: tuple[int, int, int] = MOLE) -> np.ndarray:
    picture = np.full((*mask.shape, 3), SKIN, dtype=np.uint8)
    picture[mask] = mole
    return picture


def ellipse(height: int, width: int, a: float, b: float, turn: float = 0.0) -> np.ndarray:
    """Return a mask: an ellipse with half axes ``a``, ``b`` (px), its long axis ``turn`` rad from horizontal."""
    y, x = np.mgrid[:height, :width]
    y, x = y - (height - 1) / 2, x - (width - 1) / 2
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    return (along / a) ** 2 + (across / b) ** 2 < 1


def noisy_skin(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    picture = skin_with(ellipse(90, 120, 20 + 20 * rng.random(), 15 + 10 * rng.random(), 3 * rng.random()))
    return np.clip(picture + rng.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (128, 128, 128), (200, 10, 90)])
def test_one_colour_has_no_contrast_no_texture_and_no_lesion(colour: tuple[int, int, int]):
    statistics = picture_statistics(np.full((60, 80, 3), colour, np.uint8))

    spreads = [name for name in statistics if name.endswith(("_std", "_skewness", "_spread", "_distance"))]
    flat = ["contrast", "entropy", "sharpness", "hair_share", "lesion_area", "corner_darkness"]
    # The mean of equal float32 values has a rounding error.
    assert {name: statistics[name] for name in spreads + flat} == pytest.approx(
        dict.fromkeys(spreads + flat, 0), abs=1e-4
    )
    assert statistics["red_mean"] == pytest.approx(colour[0] / 255, abs=1e-5)


def test_a_picture_with_almost_equal_pixels_is_measured() -> None:
    picture = np.array([[[1, 81, 81], [81, 81, 81]]], np.uint8)
    assert all(np.isfinite(value) for value in picture_statistics(picture).values())


@settings(max_examples=40)
@given(arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))))
def test_every_statistic_of_every_picture_is_a_finite_float(picture: np.ndarray):
    statistics = picture_statistics(picture)

    assert all(type(value) is float and np.isfinite(value) for value in statistics.values())
    assert list(statistics) == list(picture_statistics(np.zeros((9, 9, 3), np.uint8)))


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.sampled_from(["left-right", "upside down", "transposed"]))
def test_flips_change_no_statistic(seed: int, flip: str):
    picture = noisy_skin(seed)
    flips = {"left-right": picture[:, ::-1], "upside down": picture[::-1], "transposed": picture.transpose(1, 0, 2)}

    before, after = picture_statistics(picture), picture_statistics(flips[flip])
    asymmetries = {name for name in before if "asymmetry" in name}
    for name in before.keys() - asymmetries:
        assert after[name] == pytest.approx(before[name], **ROUNDING_TOLERANCE), name
    for name in asymmetries:  # a mirrored point sometimes falls on the next pixel
        assert after[name] == pytest.approx(before[name], abs=0.02), name


# Reference values: CIE Lab of sRGB under D65, as tabulated for the primaries.
@pytest.mark.parametrize(
    ("colour", "lab"),
    [
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((119, 119, 119), (50.03, 0, 0)),
    ],
)
def test_lab_of_known_colours(colour: tuple[int, int, int], lab: tuple[float, float, float]):
    actual = srgb_to_lab(np.array(colour, np.uint8).reshape(3, 1, 1)).ravel()

    assert actual == pytest.approx(lab, abs=0.1)


def test_grey_has_no_colour_and_red_has_the_hue_of_red():
    grey = picture_statistics(np.full((20, 20, 3), 90, np.uint8))
    red = picture_statistics(np.full((20, 20, 3), (200, 50, 50), np.uint8))
    blue = picture_statistics(np.full((20, 20, 3), (50, 50, 200), np.uint8))

    assert grey["colourfulness"] == grey["saturation_mean"] == pytest.approx(0, abs=1e-6)
    assert (grey["hue_cos"], grey["hue_sin"]) == pytest.approx((0, 0), abs=1e-3)
    assert (red["hue_cos"], red["hue_sin"]) == pytest.approx((1, 0), abs=1e-5)
    assert (blue["hue_cos"], blue["hue_sin"]) == pytest.approx((np.cos(4 * np.pi / 3), np.sin(4 * np.pi / 3)), abs=1e-5)
    assert red["saturation_mean"] == pytest.approx(0.75, abs=1e-5)


def test_colourfulness_follows_hasler_and_suesstrunk():
    halves = np.zeros((10, 10, 3), np.uint8)
    halves[:, :5, 0] = halves[:, 5:, 2] = 255
    # rg is 1 and 0, yb is 0.5 and -1: std 0.5 and 0.75, mean 0.5 and -0.25.
    expected = np.hypot(0.5, 0.75) + 0.3 * np.hypot(0.5, 0.25)

    assert picture_statistics(halves)["colourfulness"] == pytest.approx(expected, abs=1e-5)


def test_entropy_counts_the_bits_of_equally_frequent_grey_levels():
    four = np.repeat(np.array([10, 60, 110, 160], np.uint8), 25).reshape(10, 10)

    assert picture_statistics(np.dstack([four] * 3))["entropy"] == pytest.approx(2)


def test_skewness_has_the_sign_of_the_longer_tail():
    bright = skin_with(ellipse(60, 60, 8, 8), (255, 255, 255))

    assert picture_statistics(bright)["blue_skewness"] > 1
    assert picture_statistics(skin_with(ellipse(60, 60, 8, 8)))["blue_skewness"] < -1


def test_dark_lines_raise_the_hair_share_and_a_dark_disc_does_not():
    bald = skin_with(ellipse(120, 160, 40, 30))
    hairy = bald.copy()
    for offset in range(10, 150, 20):
        rows = np.arange(5, 115)
        hairy[rows, np.clip(rows // 3 + offset, 0, 159)] = (30, 25, 20)

    without, with_hair = (picture_statistics(picture)["hair_share"] for picture in (bald, hairy))
    assert without < 0.005
    assert with_hair > without + 0.02


def test_blurring_lowers_the_sharpness():
    picture = noisy_skin(1)
    smooth = (picture[:-1, :-1] / 4 + picture[1:, :-1] / 4 + picture[:-1, 1:] / 4 + picture[1:, 1:] / 4).astype(
        np.uint8
    )

    assert picture_statistics(smooth)["sharpness"] < picture_statistics(picture)["sharpness"] / 2


def test_a_round_field_of_view_shows_as_dark_corners_and_not_as_lesion():
    y, x = np.mgrid[-1:1:120j, -1:1:160j]
    round_view = skin_with(ellipse(120, 160, 30, 30))
    plain = picture_statistics(round_view)
    round_view[np.hypot(x, y) > 1.2] = 0
    dark = picture_statistics(round_view)

    assert plain["corner_black_share"] == 0
    assert dark["corner_black_share"] > 0.95
    assert dark["corner_darkness"] > plain["corner_darkness"] + 0.5
    assert dark["lesion_area"] == pytest.approx(plain["lesion_area"], rel=0.1)


def test_the_lesion_is_measured_against_the_skin_around_it():
    mask = ellipse(120, 160, 32, 30)
    statistics = picture_statistics(skin_with(mask))
    lab = srgb_to_lab(np.array([SKIN, MOLE], np.uint8).T[:, None]).reshape(3, 2)

    assert statistics["lesion_area"] == pytest.approx(mask.mean(), rel=0.1)
    assert statistics["lesion_darkness"] == pytest.approx(lab[0, 0] - lab[0, 1], rel=0.1)
    assert statistics["lesion_skin_distance"] == pytest.approx(np.linalg.norm(lab[:, 0] - lab[:, 1]), rel=0.1)
    assert statistics["centre_minus_border_l"] == pytest.approx(lab[0, 1] - lab[0, 0], rel=0.1)


@pytest.mark.parametrize("turn", [0.0, 0.4, np.pi / 4, 2.0])
@pytest.mark.parametrize(("a", "b"), [(30, 30), (45, 22)])
def test_an_ellipse_is_symmetric_at_every_rotation(a: float, b: float, turn: float):
    statistics = picture_statistics(skin_with(ellipse(121, 161, a, b, turn)))

    assert statistics["lesion_asymmetry_long"] < 0.03
    assert statistics["lesion_asymmetry_short"] < 0.03


def test_a_mirror_symmetric_blob_has_exactly_zero_asymmetry_about_that_axis():
    half = np.random.default_rng(3).random((60, 80)) < np.linspace(-0.2, 1.2, 80)
    rows = np.abs(np.arange(60) - 30) < 18
    half &= rows[:, None]
    statistics = picture_statistics(skin_with(np.hstack([half, half[:, ::-1]])))

    # The blob is wider than high, so its short axis is the upright line of the mirror.
    assert statistics["lesion_asymmetry_short"] == pytest.approx(0, abs=0.01)
    assert statistics["lesion_area"] > 0.05


def test_a_blob_with_a_tail_on_one_side_is_asymmetric_and_less_compact():
    disc = ellipse(120, 160, 28, 28)
    with_tail = disc.copy()
    with_tail[40:60, 80:140] = True
    plain, odd = picture_statistics(skin_with(disc)), picture_statistics(skin_with(with_tail))

    assert odd["lesion_asymmetry_short"] > plain["lesion_asymmetry_short"] + 0.1
    assert odd["lesion_compactness"] < plain["lesion_compactness"] - 0.1


def test_a_disc_is_compact():
    assert picture_statistics(skin_with(ellipse(160, 160, 40, 40)))["lesion_compactness"] == pytest.approx(1, abs=0.05)


def test_two_colours_in_a_lesion_spread_more_than_one():
    mask = ellipse(120, 120, 35, 35)
    one = skin_with(mask)
    two = one.copy()
    two[mask & (np.arange(120)[None] > 60)] = (70, 90, 140)

    assert picture_statistics(two)["lesion_colour_spread"] > 2 * picture_statistics(one)["lesion_colour_spread"]


@given(
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=40),
    st.lists(st.floats(9, 10, width=32), min_size=1, max_size=40),
)
def test_otsu_splits_two_separate_groups_between_them(low: list[float], high: list[float]):
    threshold = otsu_threshold(np.array(low + high, np.float32))

    assert max(low) <= threshold <= min(high)


def test_otsu_of_a_constant_lets_nothing_lie_above():
    assert otsu_threshold(np.full(9, 3.5, np.float32)) == 3.5
