"""Tests of the history of a run: what a second stack replaces is kept, and the leaderboard still shows it."""

from pathlib import Path

import pandas as pd
import pytest

from melstack.options import StackOptions
from melstack.steps.stacking import cross_validate, write_submission
from runtime.files import read_json
from runtime.run_folder import Run
from tests.command_line import run_melstack
from tests.tiny_project import FinishedRun


@pytest.fixture
def copied_run(finished_run: FinishedRun, tmp_path: Path) -> Run:
    """Return a copy of the finished run, whose stack and submission a test may replace."""
    return finished_run.copy_to(tmp_path)


def test_a_second_stack_moves_the_first_with_its_submission_and_pages_to_the_history(copied_run: Run) -> None:
    first = copied_run.submission.read_bytes()
    assert run_melstack("report", "--run", copied_run.folder).code == 0
    assert run_melstack("paper", "--run", copied_run.folder).code == 0
    output = run_melstack("stack", "--run", copied_run.folder, "--reset", "prevalence")
    assert output.code == 0, output.err
    assert "prevalence: 0.05 -> as in training" in output.out
    (place,) = (copied_run.folder / "history").iterdir()
    assert (place / "submission.csv").read_bytes() == first
    pages = {"model_card.md", "report.html", "paper", "submission.json", "level2"}
    assert pages <= {path.name for path in place.iterdir()}
    assert not copied_run.submission.exists()
    assert not (copied_run.folder / "paper").exists()
    board = copied_run.folder.parent / "leaderboard.csv"
    assert run_melstack("leaderboard", "--runs", copied_run.folder, "--root", board.parent).code == 0
    names = pd.read_csv(board)["experiment"].tolist()
    assert sorted(names) == ["run/quick", f"run/quick@{place.name}"]


def test_a_bundle_of_a_replaced_stack_is_named_by_stack_and_predict(copied_run: Run) -> None:
    run, words = copied_run.folder, "was made from stack"
    assert words not in run_melstack("predict", "--run", run).out
    output = run_melstack("stack", "--run", run, "--reset", "prevalence")
    assert words in output.out
    assert "melstack predict" not in output.out
    output = run_melstack("predict", "--run", run)
    assert output.code == 0, output.err
    assert words in output.out
    assert "`melstack submission --run" in output.out


def test_a_stack_that_returns_is_not_kept_twice(copied_run: Run) -> None:
    for words in (["--prevalence", "0.3"], ["--prevalence", "0.05"], ["--prevalence", "0.3"]):
        assert run_melstack("stack", "--run", copied_run.folder, *words).code == 0
    assert len(list((copied_run.folder / "history").iterdir())) == 2


def test_a_damaged_stack_is_made_again_and_not_kept(copied_run: Run) -> None:
    board = copied_run.level2 / "quick" / "leaderboard.csv"
    before = board.read_bytes()
    board.write_text("damaged")
    assert run_melstack("stack", "--run", copied_run.folder).code == 0
    assert board.read_bytes() == before
    assert not (copied_run.folder / "history").exists()


def test_a_submission_of_another_recipe_keeps_the_first_submission(copied_run: Run, tmp_path: Path) -> None:
    first, recipe = copied_run.submission.read_bytes(), tmp_path / "other.toml"
    recipe.write_text(
        'learners = ["logistic", "rank_mean"]\nblend = ["logistic"]\nsubmit = "logistic"\nablation = false\n'
    )
    cross_validate(copied_run, StackOptions(str(recipe)))
    write_submission(copied_run, recipe)
    (place,) = (copied_run.folder / "history").iterdir()
    assert (place / "submission.csv").read_bytes() == first
    assert (copied_run.level2 / "quick" / "run.json").is_file()
    assert copied_run.submission.read_bytes() != first


def test_models_means_only_these_in_the_stack_and_the_other_is_named(copied_run: Run) -> None:
    output = run_melstack("stack", "--run", copied_run.folder, "--models", "frozen")
    assert output.code == 0, output.err
    assert "tuned is left out: --models does not name it" in output.out
    board = pd.read_csv(copied_run.level2 / "quick" / "leaderboard.csv", index_col="name")
    assert board.index[board["kind"] == "network"].tolist() == ["frozen"]
    duckling = pd.read_parquet(copied_run.blocks / "ugly_duckling.parquet")
    assert [name for name in duckling if "tuned" in name] == []
    assert run_melstack("explain", "--run", copied_run.folder).code == 0


def test_verify_does_not_advise_a_command_that_refuses_changed_cases(
    copied_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = {**read_json(copied_run.cases_mark)["made_from"], "contents": "another picture"}
    monkeypatch.setattr("melstack.verify._cases_inputs", lambda _: inputs)
    output = run_melstack("verify", "--run", copied_run.folder)
    assert (output.code, "begin a new run" in output.err, "makes all" in output.err) == (4, True, False)
