"""Tests for augmentation_sheet.py: one row per augmentation; the same settings give the same sheet."""

from pathlib import Path

import numpy as np
from PIL import Image

from level1_cnn.augment.settings import AMOUNTS, Augmentation
from level1_cnn.inspect.augmentation_sheet import COLUMNS, GAP, LABEL, augmentation_sheet


def test_the_sheet_has_a_row_for_every_augmentation_and_is_the_same_for_the_same_settings(tmp_path: Path) -> None:
    pictures = [np.full((32, 32, 3), value, np.uint8) for value in (60, 180)]
    settings = Augmentation(dropout=0.5)
    first = augmentation_sheet(pictures, settings, tmp_path / "first.png")
    second = augmentation_sheet(pictures, settings, tmp_path / "second.png")
    rows = len(set(Augmentation.model_fields) - set(AMOUNTS)) + 2
    with Image.open(first) as sheet:
        assert sheet.size == (LABEL + COLUMNS * (32 + GAP), rows * (32 + GAP))
        assert sheet.getpixel((LABEL + 5, 5)) == (60, 60, 60)
    assert first.read_bytes() == second.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"first.png", "second.png"}
