"""Tests of the search for a network's settings: on training folds alone, resumable, its result a model to train."""

import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from level1_cnn.experiment import Finetune, find_experiments
from level1_cnn.job import Job
from level1_cnn.tuning.search import Inner, best_trial, inner_cases, trials_table, tune_model
from runtime.errors import InputFault
from runtime.files import read_json
from runtime.run_folder import Run
from runtime.trials import TrialResult
from tests.level1_cnn.drawn_run import FINETUNE, make_run, tiny_experiment, write_model
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
# A process that is killed when the second trial begins its second fold.
DYING = """
import os, signal, sys
from level1_cnn.tuning import search as tuning
from melstack.cli import main

auc, calls = tuning._Judge._auc, []

def dying(*given):
    calls.append(1)
    if len(calls) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return auc(*given)

tuning._Judge._auc = dying
main()
"""


def tune(run: Run, folder: Path, *program: str) -> int:
    """Run the command in a process of its own and return its exit code."""
    command = ["tune", "--run", str(run.folder), "--devices", "cpu"]
    command += ["--model", write_model(folder, "small", FINETUNE), "--search", write_model(folder, "mine", SEARCH)]
    return subprocess.run([sys.executable, *(program or ("-m", "melstack")), *command], cwd=ROOT).returncode


def settled(run: Run) -> pd.DataFrame:
    """Return the trials without what depends on the clock."""
    return pd.read_csv(run.folder / "level1_search" / "small" / "trials.csv").drop(columns="seconds")


@pytest.mark.full
def test_a_killed_search_goes_on_where_it_was_and_its_result_is_a_model_to_train(tmp_path: Path) -> None:
    whole, pieces = make_run(tmp_path / "whole"), make_run(tmp_path / "pieces")
    assert tune(whole, tmp_path) == 0
    assert tune(pieces, tmp_path, "-c", DYING) == -signal.SIGKILL
    marks = list((pieces.folder / "level1_search").rglob("done.json"))
    before = {mark: mark.stat().st_mtime_ns for mark in marks}
    assert len(marks) == 3
    assert tune(pieces, tmp_path) == 0
    pd.testing.assert_frame_equal(settled(pieces)[SETTINGS], settled(whole)[SETTINGS])
    # Not in deterministic mode: two trainings differ in the last bits, and in ranks of so few pictures.
    assert settled(pieces)["auc"].to_numpy() == pytest.approx(settled(whole)["auc"].to_numpy(), abs=0.05)
    assert all(mark.stat().st_mtime_ns == time for mark, time in before.items())

    table, folder = settled(whole), whole.folder / "level1_search" / "small"
    assert len(table) == 4
    assert table.loc[0, ["learning_rate", "pooling"]].tolist() == [0.01, "average"]
    written = (folder / "small_tuned.toml").read_text()
    (tuned,) = find_experiments("laptop", [str(folder / "small_tuned.toml")]).values()
    assert isinstance(tuned.training, Finetune)
    best = table[~table["pruned"]].sort_values("auc", ascending=False, kind="stable").iloc[0]
    assert tuned.training.learning_rate == pytest.approx(best["learning_rate"])
    assert "# tuned: best of 4 trials on folds 0, 2" in written
    assert "is optimistic" in written
    assert not whole.level1.exists()
    assert not list(folder.rglob("*.h5"))
    assert {read_json(mark)["made_from"]["outer"] for mark in folder.rglob("done.json")} == {1}


def test_a_search_sees_no_case_of_the_outer_fold_and_no_test_case(drawn_run: Run) -> None:
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
        ({"method": "frozen", "regularisation": 0.1}, "the method is 'frozen'; tune is for method = 'finetune'"),
        ({"keep": "best"}, "keep = 'best' chooses an epoch on the fold that judges a trial"),
        ({"pseudo": {"model": "other"}}, "its pseudo-labels come from networks that saw the outer fold"),
    ],
)
def test_a_model_that_cannot_be_tuned_honestly_is_refused(
    tmp_path: Path, training: dict[str, object], message: str
) -> None:
    plain = {} if "method" in training else {"method": "finetune", "epochs": 2, "learning_rate": 0.01}
    experiment = tiny_experiment({**plain, **training})
    with pytest.raises(InputFault, match=message):
        tune_model(Job(Run(tmp_path), "small", experiment, "{}"), write_model(tmp_path, "mine", SEARCH))


def test_a_trial_cut_short_never_wins_and_the_earlier_of_equals_does() -> None:
    tried = [
        TrialResult({"epochs": 1}, (0.8, 0.8), 1.0, False),
        TrialResult({"epochs": 2}, (0.99,), 1.0, True),
        TrialResult({"epochs": 3}, (0.9, 0.85), 1.0, False),
        TrialResult({"epochs": 4}, (0.8, 0.85), 1.0, False),
    ]
    assert best_trial(tried) == 2
    table = trials_table(tried, {"epochs": 7}, Inner(pd.DataFrame(), 0, [1, 2]))
    assert table["epochs"].tolist() == [7, 2, 3, 4]
    assert table["auc"].tolist() == [0.8, 0.99, 0.85, 0.85]
    assert table["folds"].tolist() == [2, 1, 2, 2]
    assert table["mean_after_fold_2"].isna().tolist() == [False, True, False, False]
