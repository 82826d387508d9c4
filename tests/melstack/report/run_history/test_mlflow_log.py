"""Tests for logging experiments to MLflow, an optional extra."""

import importlib.util
import sqlite3
from pathlib import Path

import pytest

from melstack.report.run_history.mlflow_log import log_history
from melstack.report.run_history.stacks import read_history
from runtime.errors import InputFault
from tests.melstack.report.written_runs import write_experiment

HAS_MLFLOW = importlib.util.find_spec("mlflow") is not None
needs_mlflow = pytest.mark.skipif(not HAS_MLFLOW, reason="the extra mlflow is not installed")
# Dependencies of MLflow raise deprecation warnings; the functions that we call do not.
ignore_warnings = pytest.mark.filterwarnings("ignore")


@pytest.mark.skipif(HAS_MLFLOW, reason="the extra mlflow is installed")
def test_without_mlflow_the_fault_says_how_to_install_it(tmp_path: Path) -> None:
    experiments = read_history([write_experiment(tmp_path / "a")])
    with pytest.raises(InputFault, match=r"pip install 'melstack\[mlflow\]'"):
        log_history(experiments, tmp_path / "mlflow")
    assert not (tmp_path / "mlflow").exists()


@needs_mlflow
@ignore_warnings
def test_an_experiment_is_logged_once_and_again_after_it_is_made_again(tmp_path: Path) -> None:
    run, store = write_experiment(tmp_path / "a", seeds=5), tmp_path / "mlflow"
    experiments = read_history([run])
    assert [log_history(experiments, store) for _ in range(2)] == [1, 0]
    write_experiment(run, seeds=6)
    (run / "level2" / "default" / "run.json").write_text('{"made_from": {"code": "other"}}')
    assert log_history(read_history([run]), store) == 1
    with sqlite3.connect(store / "mlflow.db") as database:
        parameters = database.execute("select value from params where key = 'recipe.seeds'").fetchall()
        aucs = database.execute("select value from metrics where key = 'auc'").fetchall()
        paths = database.execute("select value from tags where key = 'artefact.leaderboard.csv'").fetchall()
    assert sorted(parameters) == [("5",), ("6",)]
    assert aucs == [(pytest.approx(experiments[0].results["auc"]),)] * 2
    assert {Path(path).is_file() for (path,) in paths} == {True}
