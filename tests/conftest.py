"""Fixtures of all tests: the tiny run that `make submission` makes, once for all processes of a session."""

from pathlib import Path

import pytest
from filelock import FileLock

from runtime.run_folder import Run
from tests.sources import ROOT
from tests.workshop import Finished, Workshop


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return a folder that all processes of this session of tests share."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(scope="session")
def workshop(shared_folder: Path) -> Workshop:
    """Return the tiny clinic with its models and its recipe."""
    with FileLock(shared_folder / "workshop.lock"):
        return Workshop(shared_folder / "workshop")


@pytest.fixture(scope="session")
def finished_run(workshop: Workshop, shared_folder: Path) -> Finished:
    """Return the run of `make submission` on the tiny clinic, with its bundle; copy it before you change anything."""
    if not (ROOT / ".venv").is_dir():
        pytest.skip("make uses .venv; `make setup` makes it")
    run, shown = Run(shared_folder / "finished" / "run"), shared_folder / "finished.txt"
    with FileLock(shared_folder / "finished.lock"):
        if not shown.is_file():
            done = workshop.make("submission", run)
            assert done.returncode == 0, done.stderr
            shown.write_text(done.stdout)
    return Finished(run, shown.read_text(), workshop)
