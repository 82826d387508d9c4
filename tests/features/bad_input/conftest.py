"""Fixtures of the tests of bad input."""

import pandas as pd
import pytest

from features.cases.case_table import read_cases
from features.folder.layout import Request
from tests.features.small_clinic import small_clinic


@pytest.fixture(scope="package")
def clean_cases(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Return the case table of the undamaged small clinic."""
    return read_cases(Request(small_clinic(tmp_path_factory.mktemp("clean") / "clinic"), folds=2))
