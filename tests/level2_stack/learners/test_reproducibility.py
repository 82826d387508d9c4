"""Tests that fresh processes give the same predictions: bytewise, and to 1e-6 with different numbers of threads."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from level2_stack import learners
from tests.sources import ROOT

pytestmark = pytest.mark.full

THREADS = (1, 2, 4)
FIT = """
import sys
from pathlib import Path
import numpy as np
from level2_stack import learners
from tests.level2_stack.learners.learner_rows import columns_of, design
folder, threads = Path(sys.argv[1]), int(sys.argv[2])
X, y, groups = design(n=3000)
for name in learners.names():
    learner = learners.find(name)
    fields = learner.Params.model_fields
    params = {field: threads for field in fields if threads and "thread" in field}
    params |= {"rounds": 60} if "rounds" in fields else {}
    predict = learner.fit(learner.Params(**params), columns_of(name, X), y, groups=groups, seed=3)
    np.save(folder / f"{name}.npy", predict(columns_of(name, X)))
"""


def fit_all(folder: Path, threads: int | None) -> Path:
    """Fit every learner in a fresh process, with its default threads or with ``threads`` for it and its libraries."""
    folder.mkdir()
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    variables = {} if threads is None else dict.fromkeys(names, str(threads))
    command = [sys.executable, "-c", FIT, str(folder), str(threads or 0)]
    subprocess.run(command, cwd=ROOT, check=True, env=os.environ | variables)
    return folder


@pytest.fixture(scope="module")
def fits(tmp_path_factory) -> dict[str, Path]:
    """Return folders of predictions: of two processes with default threads, and of one per number of threads."""
    folder = tmp_path_factory.mktemp("fits")
    folders = {name: fit_all(folder / name, None) for name in ("first", "second")}
    return folders | {f"{threads} threads": fit_all(folder / f"threads_{threads}", threads) for threads in THREADS}


@pytest.mark.parametrize("name", learners.names())
def test_two_processes_predict_the_same_bytes(fits, name):
    first, second = ((fits[which] / f"{name}.npy").read_bytes() for which in ("first", "second"))
    assert first == second


@pytest.mark.parametrize("name", learners.names())
def test_the_number_of_threads_changes_no_probability_by_more_than_a_millionth(fits, name):
    predictions = [np.load(fits[f"{threads} threads"] / f"{name}.npy") for threads in THREADS]
    assert np.ptp(predictions[0]) > 0.1
    for other in predictions[1:]:
        np.testing.assert_allclose(other, predictions[0], rtol=0, atol=1e-6)
