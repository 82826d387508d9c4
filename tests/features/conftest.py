"""Fixtures of the tests of features/."""

from pathlib import Path

import pytest

from tests.features.small_clinic import small_clinic


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder with the small clinic, which a test may change."""
    return small_clinic(tmp_path / "clinic")
