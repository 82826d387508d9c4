"""Tests of the journal of a search: choices, trials that are stopped early, and continuing after a kill."""

from pathlib import Path

from runtime.trials import TRIALS_BEFORE_PRUNING, Trials, quiet

FOLDS = 3


def suggest(trial):
    return {"rate": trial.suggest_float("rate", 0.0, 1.0), "pooling": trial.suggest_categorical("pooling", ["a", "b"])}


def fold_values(params):
    """Yield the running mean over folds: the first fold is easy, and rates far from 0.5 are worse on all folds."""
    quality = 0.8 - abs(params["rate"] - 0.5)
    total = 0.0
    for fold, ease in enumerate([0.15, 0.0, 0.0]):
        total += quality + ease
        yield total / (fold + 1)


def search(storage: Path, count: int, scores=fold_values, *, maximize: bool = True) -> Trials:
    with quiet():
        trials = Trials(storage, "made from this", suggest, maximize=maximize, seed=1, steps=FOLDS)
        while len(trials.results()) < count:
            trials.propose(scores)
    return trials


def test_choices_and_numbers_are_both_proposed(tmp_path: Path) -> None:
    trials = search(tmp_path / "journal.log", 8).results()
    assert {trial.params["pooling"] for trial in trials} == {"a", "b"}
    assert all(0 <= trial.params["rate"] <= 1 for trial in trials)
    assert len({trial.params["rate"] for trial in trials}) == 8


def test_a_trial_worse_than_the_median_is_stopped_early_even_after_an_easy_first_fold(tmp_path: Path) -> None:
    trials = search(tmp_path / "journal.log", 16).results()
    assert not any(trial.is_pruned for trial in trials[:TRIALS_BEFORE_PRUNING])
    pruned_trials = [trial for trial in trials if trial.is_pruned]
    complete = [trial for trial in trials if not trial.is_pruned]
    assert pruned_trials
    assert all(len(trial.steps) < FOLDS for trial in pruned_trials)
    assert all(len(trial.steps) == FOLDS for trial in complete)
    best = max(trials, key=lambda trial: -abs(trial.params["rate"] - 0.5))
    assert not best.is_pruned


def test_a_trial_that_falls_behind_on_its_second_fold_is_stopped_there(tmp_path: Path) -> None:
    def worse_second_fold(params):
        yield 0.95
        yield 0.5
        raise AssertionError("the third fold was not needed")

    search(tmp_path / "journal.log", TRIALS_BEFORE_PRUNING)
    last = search(tmp_path / "journal.log", TRIALS_BEFORE_PRUNING + 1, worse_second_fold).results()[-1]
    assert last.is_pruned
    assert last.steps == (0.95, 0.5)
    assert last.value == 0.5


def test_when_minimising_a_trial_above_the_median_is_stopped_early(tmp_path: Path) -> None:
    search(tmp_path / "journal.log", TRIALS_BEFORE_PRUNING, maximize=False)
    worse = search(tmp_path / "journal.log", TRIALS_BEFORE_PRUNING + 1, lambda params: [2.0] * 3, maximize=False)
    assert worse.results()[-1].is_pruned
    better = search(tmp_path / "journal.log", TRIALS_BEFORE_PRUNING + 2, lambda params: [0.0] * 3, maximize=False)
    assert not better.results()[-1].is_pruned


def test_a_search_that_is_killed_and_continued_proposes_the_same_as_an_undisturbed_one(tmp_path: Path) -> None:
    class Kill(BaseException):
        pass

    def die(params):
        yield 5.0  # good enough not to be stopped early
        raise Kill

    whole = search(tmp_path / "whole.log", 14).results()
    assert any(trial.is_pruned for trial in whole)
    for count in (3, 9):
        search(tmp_path / "pieces.log", count)
        try:
            search(tmp_path / "pieces.log", count + 1, die)
        except Kill:
            continue
    pieces = search(tmp_path / "pieces.log", 14).results()
    assert [(trial.params, trial.steps, trial.is_pruned) for trial in pieces] == [
        (trial.params, trial.steps, trial.is_pruned) for trial in whole
    ]


def test_an_added_trial_is_run_to_its_end_and_settings_outside_their_limits_are_ignored(tmp_path: Path) -> None:
    with quiet():
        trials = Trials(tmp_path / "journal.log", "this", suggest, maximize=True, seed=0, steps=FOLDS)
        trials.add({"rate": 7.0, "pooling": "b"}, lambda: [0.1, 0.2, 0.3])
        trials.add({"rate": 0.5, "pooling": "none of them"}, lambda: [0.4])
    first, second = trials.results()
    assert (first.params, first.steps, first.value, first.is_pruned) == ({"pooling": "b"}, (0.1, 0.2, 0.3), 0.3, False)
    assert (second.params, second.value) == ({"rate": 0.5}, 0.4)
