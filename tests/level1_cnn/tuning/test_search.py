"""Tests of the search for a network's settings: training folds only, resumable, its result is a model to train."""

import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from level1_cnn.experiment import find_experiments
from level1_cnn.job import Job
from level1_cnn.training_settings import Finetune
from level1_cnn.tuning.inner_cases import InnerCases, inner_cases
from level1_cnn.tuning.search import best_trial, trials_table, tune_model
from runtime.errors import InputFault
from runtime.files import read_json
from runtime.run_folder import Run
from runtime.trials import TrialResult
from tests.level1_cnn.drawn_run import FINETUNE_TOML, make_run, tiny_experiment, write_model
from tests.sources import ROOT

SEARCH = """
trials = 4
seed = 3
fold = 1
[ranges]
learning_rate = {low = 1e-4, high = 0.03, log = true}
pooling = {choices = ["average", "gem"]}
"""
SETTINGS = ["trial", "learning_rate", "pooling"]
# A program that kills itself when the second trial begins its second fold.
KILLED_PROGRAM = """
import os, signal, sys
from level1_cnn.tuning import search as tuning
from melstack.cli import main

auc, calls = tuning._TrialEvaluator._auc, []

def auc_or_kill(*arguments):
    calls.append(1)
    if len(calls) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return auc(*arguments)

tuning._TrialEvaluator._auc = auc_or_kill
main()
"""


def tune(run: Run, folder: Path, *program: str) -> int:
    """Run the command in a separate process and return its exit code."""
    command = ["tune", "--run", str(run.folder), "--devices", "cpu"]
    command += ["--model", write_model(folder, "small", FINETUNE_TOML), "--search", write_model(folder, "mine", SEARCH)]
    return subprocess.run([sys.executable, *(program or ("-m", "melstack")), *command], cwd=ROOT).returncode


def read_trials(run: Run) -> pd.DataFrame:
    """Return the table of trials without the column that depends on the clock."""
    return pd.read_csv(run.folder / "level1_search" / "small" / "trials.csv").drop(columns="seconds")


@pytest.mark.full
def test_a_killed_search_continues_and_its_result_is_a_model_to_train(tmp_path: Path) -> None:
    undisturbed_run, killed_run = make_run(tmp_path / "undisturbed"), make_run(tmp_path / "killed")
    assert tune(undisturbed_run, tmp_path) == 0
    assert tune(killed_run, tmp_path, "-c", KILLED_PROGRAM) == -signal.SIGKILL
    marks = list((killed_run.folder / "level1_search").rglob("done.json"))
    before = {mark: mark.stat().st_mtime_ns for mark in marks}
    assert len(marks) == 3
    assert tune(killed_run, tmp_path) == 0
    pd.testing.assert_frame_equal(read_trials(killed_run)[SETTINGS], read_trials(undisturbed_run)[SETTINGS])
    # Without the deterministic mode two trainings differ in the last bits, and the AUC of few pictures by some ranks.
    expected_aucs = pytest.approx(read_trials(undisturbed_run)["auc"].to_numpy(), abs=0.05)
    assert read_trials(killed_run)["auc"].to_numpy() == expected_aucs
    assert all(mark.stat().st_mtime_ns == time for mark, time in before.items())

    table, folder = read_trials(undisturbed_run), undisturbed_run.folder / "level1_search" / "small"
    assert len(table) == 4
    assert table.loc[0, ["learning_rate", "pooling"]].tolist() == [0.01, "average"]
    text = (folder / "small_tuned.toml").read_text()
    (experiment,) = find_experiments("laptop", [str(folder / "small_tuned.toml")]).values()
    assert isinstance(experiment.training, Finetune)
    best = table[~table["pruned"]].sort_values("auc", ascending=False, kind="stable").iloc[0]
    assert experiment.training.learning_rate == pytest.approx(best["learning_rate"])
    assert "# tuned: best of 4 trials on folds 0, 2" in text
    assert "is optimistic" in text
    assert not undisturbed_run.level1.exists()
    assert not list(folder.rglob("*.h5"))
    assert {read_json(mark)["made_from"]["outer"] for mark in folder.rglob("done.json")} == {1}


def test_a_search_uses_no_case_of_the_outer_fold_and_no_test_case(drawn_run: Run) -> None:
    cases = drawn_run.read_cases()
    inner = inner_cases(drawn_run, 1)
    assert inner.folds == [0, 2]
    assert set(inner.cases["role"]) == {"train"}
    assert set(inner.cases["fold"]) == {0, 2}
    assert set(inner.cases.index) <= set(cases.index[(cases["role"] == "train") & (cases["fold"] != 1)])


def test_an_outer_fold_that_the_run_does_not_have_is_refused(drawn_run: Run) -> None:
    with pytest.raises(InputFault, match=r"outer fold 7 of folds \[0, 1, 2\]"):
        inner_cases(drawn_run, 7)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        (
            {"method": "frozen", "regularisation": 0.1},
            "method = 'frozen' has no settings to tune",
        ),
        ({"keep": "best"}, "keep = 'best' chooses an epoch on the fold that evaluates a trial"),
        ({"pseudo": {"model": "other"}}, "the networks that made its pseudo-labels were trained on the outer fold"),
    ],
)
def test_a_model_whose_trials_would_use_the_outer_fold_is_refused(
    tmp_path: Path, training: dict[str, object], message: str
) -> None:
    plain = {} if "method" in training else {"method": "finetune", "epochs": 2, "learning_rate": 0.01}
    experiment = tiny_experiment({**plain, **training})
    with pytest.raises(InputFault, match=message):
        tune_model(Job(Run(tmp_path), "small", experiment, "{}"), write_model(tmp_path, "mine", SEARCH))


def test_the_best_trial_is_complete_and_the_earlier_of_two_equal_ones() -> None:
    results = [
        TrialResult({"epochs": 1}, (0.8, 0.8), 1.0, False),
        TrialResult({"epochs": 2}, (0.99,), 1.0, True),
        TrialResult({"epochs": 3}, (0.9, 0.85), 1.0, False),
        TrialResult({"epochs": 4}, (0.8, 0.85), 1.0, False),
    ]
    assert best_trial(results) == 2
    table = trials_table(results, {"epochs": 7}, InnerCases(pd.DataFrame(), 0, [1, 2]))
    assert table["epochs"].tolist() == [7, 2, 3, 4]
    assert table["auc"].tolist() == [0.8, 0.99, 0.85, 0.85]
    assert table["folds"].tolist() == [2, 1, 2, 2]
    assert table["mean_after_fold_2"].isna().tolist() == [False, True, False, False]
