"""Tests of the search for parameters: never worse than the defaults, resumable, deterministic."""

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
from tests.level2_stack.crossval.tuning_rows import rows, run_tuning

OPTUNA_VERBOSITY = optuna.logging.get_verbosity()


# A process that kills itself within the second fit of its sixth trial.
KILLED_SEARCH = """
import os, signal, sys
from pathlib import Path
from level2_stack.learners import logistic
from tests.level2_stack.crossval.tuning_rows import run_tuning

fit, calls = logistic.fit, []

def fit_or_die(*arguments, **options):
    calls.append(1)
    if len(calls) == 17:
        os.kill(os.getpid(), signal.SIGKILL)
    return fit(*arguments, **options)

logistic.fit = fit_or_die
run_tuning(Path(sys.argv[1]), 9)
"""


def journal(storage):
    """Return the study in a journal as Optuna reads it."""
    backend = optuna.storages.journal.JournalFileBackend(str(storage))
    return optuna.load_study(study_name="tuning", storage=optuna.storages.JournalStorage(backend))


def complete_trials(storage):
    """Return the parameters of the complete trials in a journal, in order."""
    return [trial.params for trial in journal(storage).trials if trial.state.name == "COMPLETE"]


def test_no_trials_mean_no_search_and_no_file(tmp_path):
    result = run_tuning(tmp_path / "fold_0.journal", 0)
    assert result.params == logistic.Params()
    assert result.trials == 0
    assert math.isnan(result.best)
    assert math.isnan(result.default)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("objective", "sign"), [("log_loss", -1), ("auc", 1)])
def test_the_best_parameters_have_their_objective_and_are_never_worse_than_the_defaults(tmp_path, objective, sign):
    poor = logistic.Params(l2=900.0)
    result = run_tuning(tmp_path / "fold_0.journal", 8, params=poor, objective=objective)
    assert result.trials == 8
    assert sign * result.best >= sign * result.default
    assert result.default == mean_score("logistic", poor, rows(), 0, objective)
    assert result.best == mean_score("logistic", result.params, rows(), 0, objective)


def test_a_far_too_strong_penalty_is_replaced(tmp_path):
    result = run_tuning(tmp_path / "fold_0.journal", 8, params=logistic.Params(l2=900.0))
    assert result.params.l2 < 100
    assert result.best < result.default - 0.02


def test_a_single_trial_has_the_defaults_even_outside_the_search_range(tmp_path):
    default = logistic.Params(l2=1e5)
    result = run_tuning(tmp_path / "fold_0.journal", 1, params=default)
    assert result.params == default
    assert result.best == result.default
    assert run_tuning(tmp_path / "fold_0.journal", 4, params=default).trials == 4


def test_a_resumed_search_proposes_the_same_as_an_uninterrupted_one(tmp_path):
    whole, pieces = tmp_path / "whole.journal", tmp_path / "pieces.journal"
    expected = run_tuning(whole, 14)
    run_tuning(pieces, 5)
    journal(pieces).ask()  # a trial that was running when the process died
    with pieces.open("ab") as file:
        file.write(b'{"op_code":5,"worker')  # and the line it was writing
    (tmp_path / "pieces.journal.lock").symlink_to(pieces)
    assert run_tuning(pieces, 14) == expected
    assert complete_trials(pieces) == complete_trials(whole)
    assert len(complete_trials(whole)) == 14


@pytest.mark.full
def test_a_search_of_a_killed_process_resumes_without_loss(tmp_path):
    first_part, whole = tmp_path / "interrupted.journal", tmp_path / "whole.journal"
    assert subprocess.run([sys.executable, "-c", KILLED_SEARCH, str(first_part)]).returncode == -9
    assert [trial.state.name for trial in journal(first_part).trials][-1] == "RUNNING"
    assert run_tuning(first_part, 9) == run_tuning(whole, 9)
    assert complete_trials(first_part) == complete_trials(whole)


def test_of_a_longer_journal_only_the_trials_of_the_budget_count(tmp_path):
    few = run_tuning(tmp_path / "few.journal", 4)
    run_tuning(tmp_path / "many.journal", 9)
    assert run_tuning(tmp_path / "many.journal", 4) == few


def change_rows(change):
    """Return the rows with one property changed: their values, column names, targets or folds."""
    table = rows()
    X = table.X.assign(**{"logit.a": table.X["logit.a"] + 1e-9}) if change == "values" else table.X
    X = X.rename(columns={"logit.c": "logit.d"}) if change == "names" else X
    y = np.r_[1 - table.y[:1], table.y[1:]] if change == "target" else table.y
    folds = 2 - table.folds if change == "folds" else table.folds
    return Rows(X, y, table.groups, folds)


@pytest.mark.parametrize("change", ["values", "names", "target", "folds", "seed", "defaults", "objective"])
def test_a_journal_made_from_other_inputs_is_replaced_with_a_message(tmp_path, capsys, change):
    storage = tmp_path / "fold_0.journal"
    run_tuning(storage, 4)
    assert "starts again" not in capsys.readouterr().out
    others = {"seed": {"seed": 1}, "defaults": {"params": logistic.Params(l2=2.0)}, "objective": {"objective": "auc"}}
    result = run_tuning(storage, 2, table=change_rows(change), **others.get(change, {}))
    assert (
        "fold_0.journal was made from other rows, settings or code; the search starts again" in capsys.readouterr().out
    )
    assert result.trials == 2
    assert len(journal(storage).trials) == 2


@pytest.mark.parametrize("content", ["no journal at all\n", '{"op_code": 0}\n', "[1, 2]\n", "half a line"])
def test_an_invalid_journal_is_replaced(tmp_path, content):
    storage = tmp_path / "fold_0.journal"
    storage.write_text(content)
    assert run_tuning(storage, 2) == run_tuning(tmp_path / "new.journal", 2)


def test_no_trial_starts_after_the_time_is_up(tmp_path):
    storage = tmp_path / "fold_0.journal"
    assert run_tuning(storage, 500, seconds=1e-6).trials == 1
    assert run_tuning(storage, 500, seconds=1e-6).trials == 1
    assert run_tuning(storage, 3, seconds=600).trials == 3


def test_seconds_without_trials_are_refused():
    with pytest.raises(InputFault, match=r"seconds = 5: .*has no effect without trials"):
        check_settings({"seconds": 5}, Budget, "recipe.toml")


def test_a_booster_is_scored_at_its_best_stage():
    table = rows(n=240)
    long = lgbm.Params(rounds=150, learning_rate=0.3, min_child_samples=5, min_sum_hessian=0.1)
    losses = []
    for fold in range(3):
        training, held_out = table.folds != fold, table.folds == fold
        predict = lgbm.fit(long, table.X[training], table.y[training], groups=table.groups[training], seed=0)
        losses.append(log_loss(table.y[held_out], predict(table.X[held_out])))
    assert mean_score("lgbm", long, table, 0, "log_loss") < np.mean(losses) - 0.05


def test_a_learner_without_search_ranges_is_refused_by_name(tmp_path):
    with pytest.raises(
        InputFault, match="'mean' has no parameters to tune; tunable learners are catboost, lgbm, logistic, r"
    ):
        run_tuning(tmp_path / "fold_0.journal", 1, name="mean")


@pytest.mark.parametrize(
    ("folds", "message"), [(np.zeros(300, int), "1 inner fold"), (None, "folds with one class: 1 ")]
)
def test_unusable_inner_folds_are_refused(tmp_path, folds, message):
    table = rows()
    folds_by_class = np.where(table.y == 1, np.arange(300) % 2, 0)
    with pytest.raises(InputFault, match=message):
        run_tuning(tmp_path / "fold_0.journal", 2, folds=folds_by_class if folds is None else folds)


def test_optuna_is_silent_during_the_search_and_keeps_its_verbosity(tmp_path, capfd):
    with warnings.catch_warnings(record=True) as messages:
        warnings.simplefilter("always")
        run_tuning(tmp_path / "fold_0.journal", 3)
    assert not messages
    assert optuna.logging.get_verbosity() == OPTUNA_VERBOSITY
    assert capfd.readouterr() == ("", "")


def test_log_loss_is_log_2_for_a_coin_and_finite_for_wrong_certainty():
    y = np.array([0.0, 1.0])
    assert log_loss(y, np.array([0.5, 0.5])) == pytest.approx(math.log(2))
    assert log_loss(y, np.array([0.2, 0.9])) == pytest.approx(-(math.log(0.8) + math.log(0.9)) / 2)
    assert np.isfinite(log_loss(y, np.array([1.0, 0.0])))


def test_the_auc_objective_is_the_mean_over_folds():
    table = rows()
    expected = []
    for fold in range(3):
        training, held_out = table.folds != fold, table.folds == fold
        predict = logistic.fit(
            logistic.Params(), table.X[training], table.y[training], groups=table.groups[training], seed=0
        )
        expected.append(auc(table.y[held_out], predict(table.X[held_out])))
    assert mean_score("logistic", logistic.Params(), table, 0, "auc") == pytest.approx(np.mean(expected))


@pytest.mark.full
def test_a_recipe_can_name_a_budget_without_importing_optuna():
    code = "import sys; import level2_stack.crossval.tuning; print('optuna' in sys.modules, 'sklearn' in sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.split() == ["False", "False"]
