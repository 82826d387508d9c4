"""Tests of the journal of a search: choices, trials cut short by their folds, and going on after a kill."""

from pathlib import Path

from runtime.trials import TRIALS_BEFORE_PRUNING, Trials, quiet

FOLDS = 3


def suggest(trial):
    return {"rate": trial.suggest_float("rate", 0.0, 1.0), "pooling": trial.suggest_categorical("pooling", ["a", "b"])}


def fold_values(params):
    """The first fold is easy for everybody; what is far from 0.5 is worse on all of them."""
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


def test_choices_are_drawn_and_kept_beside_numbers(tmp_path: Path) -> None:
    tried = search(tmp_path / "journal.log", 8).results()
    assert {trial.params["pooling"] for trial in tried} == {"a", "b"}
    assert all(0 <= trial.params["rate"] <= 1 for trial in tried)
    assert len({trial.params["rate"] for trial in tried}) == 8


def test_a_trial_behind_the_median_after_a_fold_is_cut_short_although_its_first_fold_was_easy(tmp_path: Path) -> None:
    tried = search(tmp_path / "journal.log", 16).results()
    assert not any(trial.is_pruned for trial in tried[:TRIALS_BEFORE_PRUNING])
    cut = [trial for trial in tried if trial.is_pruned]
    whole = [trial for trial in tried if not trial.is_pruned]
    assert cut
    assert all(len(trial.steps) < FOLDS for trial in cut)
    assert all(len(trial.steps) == FOLDS for trial in whole)
    best = max(tried, key=lambda trial: -abs(trial.params["rate"] - 0.5))
    assert not best.is_pruned


def test_a_trial_that_falls_behind_on_its_second_fold_is_cut_short_there(tmp_path: Path) -> None:
    def falling(params):
        yield 0.95
        yield 0.5
        raise AssertionError("the third fold was not needed")

    search(tmp_path / "journal.log", TRIALS_BEFORE_PRUNING)
    last = search(tmp_path / "journal.log", TRIALS_BEFORE_PRUNING + 1, falling).results()[-1]
    assert last.is_pruned
    assert last.steps == (0.95, 0.5)
    assert last.value == 0.5


def test_what_is_minimised_is_cut_short_above_the_median(tmp_path: Path) -> None:
    search(tmp_path / "journal.log", TRIALS_BEFORE_PRUNING, maximize=False)
    worse = search(tmp_path / "journal.log", TRIALS_BEFORE_PRUNING + 1, lambda params: [2.0] * 3, maximize=False)
    assert worse.results()[-1].is_pruned
    better = search(tmp_path / "journal.log", TRIALS_BEFORE_PRUNING + 2, lambda params: [0.0] * 3, maximize=False)
    assert not better.results()[-1].is_pruned


def test_a_search_in_pieces_with_trials_cut_short_proposes_what_an_undisturbed_one_does(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def killed(params):
        yield 5.0  # good enough not to be cut short
        raise Killed

    whole = search(tmp_path / "whole.log", 14).results()
    assert any(trial.is_pruned for trial in whole)
    for count in (3, 9):
        search(tmp_path / "pieces.log", count)
        try:
            search(tmp_path / "pieces.log", count + 1, killed)
        except Killed:
            continue
    pieces = search(tmp_path / "pieces.log", 14).results()
    assert [(trial.params, trial.steps, trial.is_pruned) for trial in pieces] == [
        (trial.params, trial.steps, trial.is_pruned) for trial in whole
    ]


def test_a_given_trial_is_carried_through_and_outside_its_ranges_no_example(tmp_path: Path) -> None:
    with quiet():
        trials = Trials(tmp_path / "journal.log", "this", suggest, maximize=True, seed=0, steps=FOLDS)
        trials.add({"rate": 7.0, "pooling": "b"}, lambda: [0.1, 0.2, 0.3])
        trials.add({"rate": 0.5, "pooling": "none of them"}, lambda: [0.4])
    first, second = trials.results()
    assert (first.params, first.steps, first.value, first.is_pruned) == ({"pooling": "b"}, (0.1, 0.2, 0.3), 0.3, False)
    assert (second.params, second.value) == ({"rate": 0.5}, 0.4)
