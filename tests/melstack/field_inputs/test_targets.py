"""Tests of the section "Targets" of docs/field_inputs.md."""

from pathlib import Path

import pytest

from tests.features.small_clinic import small_clinic
from tests.melstack.field_inputs.situation import Situation, check

SITUATIONS = {
    "contest_layout": Situation(small_clinic, lambda data, run: ["cases", "--data", data, "--run", run, "--folds", 2]),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_target_is_read_as_it_was_meant(name: str, tmp_path: Path) -> None:
    check(name, SITUATIONS, tmp_path)
