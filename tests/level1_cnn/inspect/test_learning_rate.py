"""Tests of the learning-rate range test: when it ends, its suggestions, and the files that it writes."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from level1_cnn.data.feed import Feed
from level1_cnn.inspect import learning_rate as rate_finder
from level1_cnn.inspect.learning_rate import Suggestion, describe, find_rate, smooth_losses, stop_at_divergence, suggest
from level1_cnn.job import Job
from runtime.errors import InputFault
from runtime.run_folder import Run
from tests.level1_cnn.drawn_run import copy_run, tiny_experiment


def job(run: Run, **changes: object) -> Job:
    training = {"method": "finetune", "epochs": 2, "batch_size": 8, "learning_rate": 0.01} | changes
    return Job(run, "tiny", tiny_experiment(training), "{}", "cpu")


def losses_of_a_range_test(steps: int = 200, noise: float = 0.0) -> pd.DataFrame:
    """Return losses that fall from 1 to 0.2, fastest at a rate of 1e-3, are lowest at 1e-1 and rise after that."""
    rates = np.logspace(-6, 0, steps)
    decades = np.log10(rates)
    losses = 0.6 - 0.4 * np.tanh(2 * (decades + 3)) + np.where(decades > -1, (decades + 1) ** 2, 0.0)
    losses += np.random.default_rng(0).normal(0, noise, steps)
    return smooth_losses(pd.DataFrame({"learning_rate": rates, "loss": losses}))


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_the_suggestions_are_the_steepest_descent_and_a_tenth_of_the_lowest_without_a_lag(noise: float) -> None:
    suggestion = suggest(losses_of_a_range_test(noise=noise))
    assert suggestion is not None
    assert abs(np.log10(suggestion.steepest) + 3) < 0.2
    assert abs(np.log10(suggestion.lowest) + 1) < 0.5
    assert suggestion.tenth == pytest.approx(suggestion.lowest / 10)


@pytest.mark.parametrize("losses", [np.linspace(0.7, 2.0, 200), np.full(200, 0.7), np.linspace(1, 0, 12)])
def test_a_loss_that_never_falls_or_has_too_few_steps_gives_no_suggestion(losses: np.ndarray) -> None:
    table = smooth_losses(pd.DataFrame({"learning_rate": np.logspace(-7, 0, len(losses)), "loss": losses}))
    assert suggest(table) is None


def test_a_range_test_ends_when_the_loss_is_not_finite_or_four_times_its_best() -> None:
    rates = np.logspace(-7, 0, 100)
    with_nan = [0.7] * 60 + [float("nan")] + [0.7] * 39
    assert len(stop_at_divergence(zip(rates, with_nan, strict=True))) == 60
    rising = [0.7] * 60 + [0.7 + step for step in range(40)]
    table = stop_at_divergence(zip(rates, rising, strict=True))
    assert 60 < len(table) < 75
    assert list(table["loss"]) == rising[: len(table)]
    one_peak = [0.7] * 60 + [6.0] + [0.7] * 39
    assert len(stop_at_divergence(zip(rates, one_peak, strict=True))) == 100


def test_the_lines_for_the_user_name_both_suggestions_their_reasons_and_the_current_rate() -> None:
    lines = describe(Suggestion(0.003, 0.01, 0.1), 1e-4)
    assert "0.003: the smoothed loss falls fastest there" in lines[0]
    assert "0.01: a tenth of 0.1, where the smoothed loss is lowest" in lines[1]
    assert "the model has learning_rate = 0.0001" in lines[2]
    assert describe(None, 1e-4) == [
        "the loss never falls steadily, so no rate is suggested; try more steps or another range"
    ]


def test_a_range_test_writes_a_table_and_a_plot_and_does_not_change_the_models_folder(
    drawn_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copy_run(drawn_run, tmp_path)
    shutil.rmtree(run.level1, ignore_errors=True)
    cases = run.read_cases()
    names: list[str] = []

    class FeedWithNames(Feed):
        """Records the names of its cases."""

        def __init__(self, files, rows, side):
            names.extend(rows.names)
            super().__init__(files, rows, side)

    monkeypatch.setattr(rate_finder, "Feed", FeedWithNames)
    suggestion = find_rate(job(run), fold=1, steps=80, low=1e-5)
    folder = run.folder / "level1_search" / "tiny"
    table = pd.read_csv(folder / "lr_find.csv")
    assert suggestion is not None
    assert 1e-4 < suggestion.steepest < 0.3
    assert table["learning_rate"].iloc[0] == pytest.approx(1e-5)
    steps = np.diff(np.log10(table["learning_rate"]))
    np.testing.assert_allclose(steps, 5 / 79, rtol=1e-3)
    assert table["smoothed"].min() < 0.6 * table["loss"].iloc[0]
    with Image.open(folder / "lr_find.png") as picture:
        assert picture.size[0] > 600
    assert not run.level1.exists()
    assert set(names) == set(cases.index[(cases["role"] == "train") & (cases["fold"] != 1)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fold": 3}, "fold 3 does not exist; the run has folds 0 to 2"),
        ({"low": 0.1, "high": 0.01}, r"rates from 0\.1 to 0\.01 in 200 steps: 0 < low < high"),
        ({"steps": 3}, "at least 20 steps"),
    ],
)
def test_an_unknown_fold_or_an_invalid_range_is_refused_before_the_training(
    drawn_run: Run, options: dict[str, float], message: str
) -> None:
    with pytest.raises(InputFault, match=message):
        find_rate(job(drawn_run), **options)


def test_a_range_test_of_a_frozen_model_is_refused(tmp_path: Path) -> None:
    experiment = tiny_experiment({"method": "frozen", "regularisation": 0.1})
    with pytest.raises(InputFault, match="method = 'frozen' has no learning rate"):
        find_rate(Job(Run(tmp_path), "frozen", experiment, "{}"))
