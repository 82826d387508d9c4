"""Tests for settings.py: an amount of 0 switches a change off, and a setting without effect is refused."""

import pytest

from level1_cnn.augment.settings import AMOUNTS, Augmentation
from runtime.errors import InputFault
from runtime.settings import check_settings


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"hair": 12, "hair_probability": 0}, "hair = 12 has no effect at probability 0"),
        ({"hair_probability": 0.3}, "has no effect while hair = 0; set hair too"),
        ({"noise_probability": 0.3}, "has no effect while noise and colour_noise = 0; set noise or colour_noise too"),
        ({"dropout_holes": 3}, "has no effect while dropout = 0"),
        ({"mixup": 0.4, "cutmix": 1.0}, "mixup_probability \\+ cutmix_probability = 2"),
        ({"mixup": 0.4, "mixup_probability": 0.6, "cutmix": 1, "cutmix_probability": 0.5}, "may be at most 1"),
        ({"hair": -1}, "greater than or equal to 0"),
        ({"haire": 1}, "did you mean 'hair'"),
    ],
)
def test_an_invalid_setting_or_one_without_effect_is_refused(values: dict[str, float], sentence: str) -> None:
    with pytest.raises(InputFault, match=sentence):
        check_settings(values, Augmentation, "b3.toml")


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"hair": 12, "hair_probability": 0.3},
        {"colour_noise": 0.1, "noise_probability": 0.3},
        {"dropout": 0.2, "dropout_holes": 3},
        {"mixup": 0.4, "mixup_probability": 0.5, "cutmix": 1.0, "cutmix_probability": 0.5},
    ],
)
def test_settings_are_the_same_after_writing_and_reading(values: dict[str, float]) -> None:
    settings = Augmentation(**values)
    assert Augmentation.model_validate(settings.model_dump()) == settings


def test_changes_that_were_added_later_are_off_by_default() -> None:
    """A TOML file that is older than a change keeps its meaning."""
    on = {name for name, value in Augmentation() if value and name not in AMOUNTS}
    assert on == {"dihedral", "rotation", "zoom", "shift", "brightness", "contrast", "saturation"}


def test_only_keeps_one_change_with_probability_one() -> None:
    settings = Augmentation(hair=9, hair_probability=0.2, dropout=0.3, dropout_holes=2).only("hair")
    on = {name: value for name, value in settings if value and name not in AMOUNTS}
    assert on == {"hair": 9}
    assert settings.hair_probability == 1
