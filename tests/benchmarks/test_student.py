"""Tests for student.py: on labels of noise a student of out-of-fold targets knows the fold, one of others does not."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.student import run_students
from runtime.errors import InputFault
from runtime.run_folder import Run
from runtime.tables import write_table
from tests.level1_cnn.drawn_run import make_run

FEATURES = 150


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run of one network whose embeddings are noise."""
    run, rng = make_run(tmp_path_factory.mktemp("student"), patients=60, folds=4), np.random.default_rng(3)
    index = run.read_cases().index
    columns = [f"e{number:04d}" for number in range(FEATURES)]
    (run.level1 / "noise").mkdir(parents=True)
    embeddings = pd.DataFrame(rng.normal(size=(len(index), FEATURES)), index=index, columns=columns)
    write_table(run.level1 / "noise" / "embeddings.parquet", embeddings)
    return run


def test_only_a_student_of_out_of_fold_targets_knows_the_labels_of_its_fold(run: Run) -> None:
    table = run_students(run, ["noise"], 2)
    assert (table["student"] > 0.6).all()
    assert table["student_of_others"].between(0.35, 0.6).all()


def test_a_network_without_embeddings_is_refused(run: Run) -> None:
    with pytest.raises(InputFault, match="name a frozen network of the run"):
        run_students(run, ["other"], 1)
