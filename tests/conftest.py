"""Fixtures of all tests: the tiny run of `make submission`, made once for all processes of a test session."""

from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

from runtime.run_folder import Run
from tests.sources import ROOT
from tests.tiny_project import FinishedRun, TinyProject

# How long an example takes says more about the machine, which others use too, than about the code.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return a folder that all processes of this test session share."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(scope="session")
def project(shared_folder: Path) -> TinyProject:
    """Return the tiny project: data, models and recipe."""
    with FileLock(shared_folder / "project.lock"):
        return TinyProject(shared_folder / "project")


@pytest.fixture(scope="session")
def finished_run(project: TinyProject, shared_folder: Path) -> FinishedRun:
    """Return the run of `make submission` on the tiny project, with its bundle; copy it before you change anything."""
    if not (ROOT / ".venv").is_dir():
        pytest.skip("make uses .venv; `make setup` makes it")
    run, output = Run(shared_folder / "finished" / "run"), shared_folder / "finished.txt"
    with FileLock(shared_folder / "finished.lock"):
        if not output.is_file():
            result = project.make("submission", run)
            assert result.returncode == 0, result.stderr
            output.write_text(result.stdout)
    return FinishedRun(run, output.read_text(), project)
