"""Fixtures of the tests of bad input: the cases of a sound clinic."""

import pandas as pd
import pytest

from features.cases.case_table import read_cases
from features.folder.layout import Request
from tests.features.small_clinic import small_clinic


@pytest.fixture(scope="package")
def sound(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Return the case table of the small clinic as it is, to be compared with."""
    return read_cases(Request(small_clinic(tmp_path_factory.mktemp("sound") / "clinic"), folds=2))
