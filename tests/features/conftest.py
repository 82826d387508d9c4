"""Fixtures of the tests of what is known before a model is trained."""

from pathlib import Path

import pytest

from tests.features.small_clinic import small_clinic


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder with the small clinic, to be changed as a test likes."""
    return small_clinic(tmp_path / "clinic")
