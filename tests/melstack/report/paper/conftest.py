"""Fixtures of the tests of a paper's files: a finished run with all tables, and its results."""

from pathlib import Path

import pytest

from melstack.report.run_page.inputs import StackResults, read_stack
from runtime.run_folder import Run
from tests.melstack.report.written_runs import write_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return write_run(tmp_path / "my_run & more", site="head_neck %")


@pytest.fixture
def stack(run: Run) -> StackResults:
    return read_stack(run, "default", ("paired",))
