"""Tests of the estimate of the skin tone: drawn skins of known tone."""

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from features.clinic.camera import CAMERAS
from features.clinic.description import Lesion
from features.clinic.lesions import draw_lesion
from melstack.validation.skin_tone import tone_classes, typology_angle

PICTURES = 48


def draw(tone: float, camera: int, random: np.random.Generator) -> np.ndarray:
    """Draw a lesion with a random look on skin of this ``tone``, 0 (fair) to 1 (dark)."""
    names = [field.name for field in fields(Lesion) if field.name not in ("tone", "camera")]
    return draw_lesion(Lesion(**{name: random.random() for name in names}, tone=tone, camera=camera), random)


@pytest.mark.parametrize("camera", range(len(CAMERAS)))
def test_the_estimate_ranks_drawn_tones_of_one_camera_from_dark_to_light(camera: int) -> None:
    random = np.random.default_rng(camera)
    tones = random.uniform(0, 1, PICTURES)
    angles = [typology_angle(draw(tone, camera, random)) for tone in tones]
    assert spearmanr(-tones, angles).statistic > 0.95


def test_the_estimate_ranks_drawn_tones_of_cameras_with_another_cast_less_well() -> None:
    random = np.random.default_rng(0)
    tones = random.uniform(0, 1, 2 * PICTURES)
    angles = [typology_angle(draw(tone, number % len(CAMERAS), random)) for number, tone in enumerate(tones)]
    assert 0.75 < spearmanr(-tones, angles).statistic < 0.95


def test_the_lesion_does_not_count() -> None:
    skin = np.full((96, 128, 3), (225, 185, 160), np.uint8)
    with_lesion = skin.copy()
    with_lesion[30:66, 45:83] = (70, 40, 30)
    assert abs(typology_angle(with_lesion) - typology_angle(skin)) < 1


def test_classes_are_those_of_the_angle() -> None:
    angles = pd.Series([60.0, 55.0, 41.0, 30.0, 10.0, -30.0, -31.0, np.nan])
    expected = ["very light", "very light", "light", "intermediate", "tan", "brown", "dark"]
    assert tone_classes(angles)[:7].tolist() == expected
    assert tone_classes(angles).isna().tolist() == [False] * 7 + [True]
