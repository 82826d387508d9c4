"""Fixtures of level one's tests: a run of drawn pictures, ready for training."""

import pytest

from level1_cnn.data.shards import decode_pictures
from runtime.run_folder import Run
from tests.level1_cnn.drawn_run import make_run


@pytest.fixture(scope="session")
def drawn_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run of 96 drawn pictures with three folds and its shards; copy it before you change anything."""
    run = make_run(tmp_path_factory.mktemp("drawn"))
    decode_pictures(run, run.read_cases(), [32])
    return run
