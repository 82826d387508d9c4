"""Tests of the search for parameters: never worse than the defaults, resumable, deterministic, never mixed up."""

import math
import subprocess
import sys
import warnings

import numpy as np
import optuna
import pytest

from level2_stack.crossval.tuning import Rows, log_loss, mean_score
from level2_stack.evaluation.auc import auc
from level2_stack.learners import lgbm, logistic
from level2_stack.recipe import Budget
from runtime.errors import InputFault
from runtime.settings import check_settings
from tests.level2_stack.crossval.tuning_rows import rows, tuned

OPTUNA_SPEAKS = optuna.logging.get_verbosity()


# A process that is killed within the second fit of its sixth trial.
DYING = """
import os, signal, sys
from pathlib import Path
from level2_stack.learners import logistic
from tests.level2_stack.crossval.tuning_rows import tuned

fit, calls = logistic.fit, []

def dying(*given, **named):
    calls.append(1)
    if len(calls) == 17:
        os.kill(os.getpid(), signal.SIGKILL)
    return fit(*given, **named)

logistic.fit = dying
tuned(Path(sys.argv[1]), 9)
"""


def journal(storage):
    """Return the study in a journal as Optuna reads it."""
    backend = optuna.storages.journal.JournalFileBackend(str(storage))
    return optuna.load_study(study_name="tuning", storage=optuna.storages.JournalStorage(backend))


def proposed(storage):
    return [trial.params for trial in journal(storage).trials if trial.state.name == "COMPLETE"]


def test_no_trials_mean_no_search_and_no_file(tmp_path):
    found = tuned(tmp_path / "fold_0.journal", 0)
    assert found.params == logistic.Params()
    assert found.trials == 0
    assert math.isnan(found.best)
    assert math.isnan(found.default)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("objective", "sign"), [("log_loss", -1), ("auc", 1)])
def test_the_winner_is_what_it_says_and_never_worse_than_the_defaults(tmp_path, objective, sign):
    poor = logistic.Params(l2=900.0)
    found = tuned(tmp_path / "fold_0.journal", 8, params=poor, objective=objective)
    assert found.trials == 8
    assert sign * found.best >= sign * found.default
    assert found.default == mean_score("logistic", poor, rows(), 0, objective)
    assert found.best == mean_score("logistic", found.params, rows(), 0, objective)


def test_a_penalty_that_is_far_too_strong_is_found_out(tmp_path):
    found = tuned(tmp_path / "fold_0.journal", 8, params=logistic.Params(l2=900.0))
    assert found.params.l2 < 100
    assert found.best < found.default - 0.02


def test_one_trial_is_the_defaults_even_outside_the_search_range(tmp_path):
    outside = logistic.Params(l2=1e5)
    found = tuned(tmp_path / "fold_0.journal", 1, params=outside)
    assert found.params == outside
    assert found.best == found.default
    assert tuned(tmp_path / "fold_0.journal", 4, params=outside).trials == 4


def test_a_search_in_pieces_proposes_what_an_undisturbed_one_does(tmp_path):
    whole, pieces = tmp_path / "whole.journal", tmp_path / "pieces.journal"
    undisturbed = tuned(whole, 14)
    tuned(pieces, 5)
    journal(pieces).ask()  # a trial that was running when the process died
    with pieces.open("ab") as file:
        file.write(b'{"op_code":5,"worker')  # and the line it was writing
    (tmp_path / "pieces.journal.lock").symlink_to(pieces)
    resumed = tuned(pieces, 14)
    assert resumed == undisturbed
    assert proposed(pieces) == proposed(whole)
    assert len(proposed(whole)) == 14


@pytest.mark.full
def test_a_process_killed_while_it_searches_loses_nothing(tmp_path):
    killed, whole = tmp_path / "killed.journal", tmp_path / "whole.journal"
    assert subprocess.run([sys.executable, "-c", DYING, str(killed)]).returncode == -9
    assert [trial.state.name for trial in journal(killed).trials][-1] == "RUNNING"
    assert tuned(killed, 9) == tuned(whole, 9)
    assert proposed(killed) == proposed(whole)


def test_more_trials_were_made_before_than_are_asked_for_now(tmp_path):
    few = tuned(tmp_path / "few.journal", 4)
    tuned(tmp_path / "many.journal", 9)
    assert tuned(tmp_path / "many.journal", 4) == few


def altered(change):
    table = rows()
    X = table.X.assign(**{"logit.a": table.X["logit.a"] + 1e-9}) if change == "values" else table.X
    X = X.rename(columns={"logit.c": "logit.d"}) if change == "names" else X
    y = np.r_[1 - table.y[:1], table.y[1:]] if change == "target" else table.y
    folds = 2 - table.folds if change == "folds" else table.folds
    return Rows(X, y, table.groups, folds)


@pytest.mark.parametrize("change", ["values", "names", "target", "folds", "seed", "defaults", "objective"])
def test_a_journal_of_other_things_is_renewed_and_the_user_told(tmp_path, capsys, change):
    storage = tmp_path / "fold_0.journal"
    tuned(storage, 4)
    assert "starts again" not in capsys.readouterr().out
    others = {"seed": {"seed": 1}, "defaults": {"params": logistic.Params(l2=2.0)}, "objective": {"objective": "auc"}}
    found = tuned(storage, 2, table=altered(change), **others.get(change, {}))
    assert (
        "fold_0.journal was made from other rows, settings or code; the search starts again" in capsys.readouterr().out
    )
    assert found.trials == 2
    assert len(journal(storage).trials) == 2


@pytest.mark.parametrize("content", ["no journal at all\n", '{"op_code": 0}\n', "[1, 2]\n", "half a line"])
def test_a_file_that_is_no_journal_is_replaced(tmp_path, content):
    storage = tmp_path / "fold_0.journal"
    storage.write_text(content)
    assert tuned(storage, 2) == tuned(tmp_path / "new.journal", 2)


def test_no_trial_begins_after_the_time_is_up(tmp_path):
    storage = tmp_path / "fold_0.journal"
    assert tuned(storage, 500, seconds=1e-6).trials == 1
    assert tuned(storage, 500, seconds=1e-6).trials == 1
    assert tuned(storage, 3, seconds=600).trials == 3


def test_seconds_without_trials_are_refused():
    with pytest.raises(InputFault, match=r"seconds = 5: .*has no effect without trials"):
        check_settings({"seconds": 5}, Budget, "recipe.toml")


def test_a_booster_is_judged_at_its_best_stage():
    table = rows(n=240)
    long = lgbm.Params(rounds=150, learning_rate=0.3, min_child_samples=5, min_sum_hessian=0.1)
    last = []
    for fold in range(3):
        seen, held_out = table.folds != fold, table.folds == fold
        predict = lgbm.fit(long, table.X[seen], table.y[seen], groups=table.groups[seen], seed=0)
        last.append(log_loss(table.y[held_out], predict(table.X[held_out])))
    assert mean_score("lgbm", long, table, 0, "log_loss") < np.mean(last) - 0.05


def test_a_learner_without_ranges_is_refused_by_name(tmp_path):
    with pytest.raises(InputFault, match="'mean' has nothing to tune; catboost, lgbm, logistic, ridge, xgb have"):
        tuned(tmp_path / "fold_0.journal", 1, name="mean")


@pytest.mark.parametrize(("folds", "message"), [(np.zeros(300, int), "1 inner fold"), (None, "one class only: 1 ")])
def test_inner_folds_that_cannot_judge_are_refused(tmp_path, folds, message):
    table = rows()
    by_class = np.where(table.y == 1, np.arange(300) % 2, 0)
    with pytest.raises(InputFault, match=message):
        tuned(tmp_path / "fold_0.journal", 2, folds=by_class if folds is None else folds)


def test_optuna_is_as_loud_afterwards_as_before_and_silent_meanwhile(tmp_path, capfd):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tuned(tmp_path / "fold_0.journal", 3)
    assert not caught
    assert optuna.logging.get_verbosity() == OPTUNA_SPEAKS
    assert capfd.readouterr() == ("", "")


def test_log_loss_is_that_of_a_coin_and_finite_for_the_certain():
    y = np.array([0.0, 1.0])
    assert log_loss(y, np.array([0.5, 0.5])) == pytest.approx(math.log(2))
    assert log_loss(y, np.array([0.2, 0.9])) == pytest.approx(-(math.log(0.8) + math.log(0.9)) / 2)
    assert np.isfinite(log_loss(y, np.array([1.0, 0.0])))


def test_the_auc_objective_is_the_mean_over_folds():
    table = rows()
    expected = []
    for fold in range(3):
        seen, held_out = table.folds != fold, table.folds == fold
        predict = logistic.fit(logistic.Params(), table.X[seen], table.y[seen], groups=table.groups[seen], seed=0)
        expected.append(auc(table.y[held_out], predict(table.X[held_out])))
    assert mean_score("logistic", logistic.Params(), table, 0, "auc") == pytest.approx(np.mean(expected))


@pytest.mark.full
def test_a_recipe_can_name_a_budget_without_importing_optuna():
    code = "import sys; import level2_stack.crossval.tuning; print('optuna' in sys.modules, 'sklearn' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["False", "False"]
