"""Tests for the run history: which stacks are read, which are compared, and which settings differ."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from melstack.report.run_history.settings import differing_keys
from melstack.report.run_history.stacks import finished_stacks, read_history, run_folders
from melstack.report.run_history.table import compare_runs, history_table
from runtime.errors import InputFault
from runtime.tables import write_table
from tests.melstack.report.written_runs import write_experiment


def test_experiments_on_the_same_cases_are_tested_against_the_best(tmp_path: Path) -> None:
    runs = [write_experiment(tmp_path / name, strength=s) for name, s in {"a": 0.5, "b": 3.0, "c": 0.5}.items()]
    board = history_table(read_history(runs))
    assert list(board.index) == ["b/default", "a/default", "c/default"]
    assert board["against"].tolist() == ["", "b/default", "b/default"]
    gain = board.loc["a/default", "auc"] - board.loc["b/default", "auc"]
    assert board.loc["a/default", "gain"] == pytest.approx(gain)
    assert board.loc["a/default", "gain_high"] < 0
    assert board.loc["a/default", "p"] < 0.01


def test_experiments_with_different_targets_are_not_compared(tmp_path: Path) -> None:
    runs = [
        write_experiment(tmp_path / name, seed_of_target=seed) for name, seed in {"a": 0, "b": 0, "other": 1}.items()
    ]
    board = history_table(read_history(runs))
    assert board["group"].to_dict() == {"a/default": 1, "b/default": 1, "other/default": 2}
    assert board.loc["other/default", "against"] == ""
    assert np.isnan(board.loc["other/default", "gain"])


def test_experiments_with_the_same_cases_in_another_order_are_compared(tmp_path: Path) -> None:
    a, b = (write_experiment(tmp_path / name) for name in "ab")
    reversed_cases = pd.read_parquet(b / "cases.parquet").iloc[::-1]
    write_table(b / "cases.parquet", reversed_cases)
    board = history_table(read_history([a, b]))
    assert board["group"].tolist() == [1, 1]
    assert board.loc["b/default", ["gain", "p"]].tolist() == [0, 1]


def test_the_reference_can_be_named(tmp_path: Path) -> None:
    for name, strength in {"a": 0.5, "b": 3.0}.items():
        write_experiment(tmp_path / name, strength=strength)
    board = compare_runs([], tmp_path, "a")
    assert board["against"].to_dict() == {"b/default": "a/default", "a/default": ""}
    assert board.loc["b/default", "gain_low"] > 0
    with pytest.raises(InputFault, match="did you mean 'a/default'"):
        compare_runs([], tmp_path, "a/defualt")


def test_a_run_with_two_recipes_must_be_named_with_its_recipe(tmp_path: Path) -> None:
    write_experiment(tmp_path / "a")
    write_experiment(tmp_path / "a", "other")
    with pytest.raises(InputFault, match="one of a/default, a/other"):
        compare_runs([], tmp_path, "a")


def test_only_settings_that_differ_are_listed_and_lists_by_their_elements(tmp_path: Path) -> None:
    a = write_experiment(tmp_path / "a", size=96)
    b = write_experiment(tmp_path / "b", size=128, learners=["lgbm", "xgb"], seed=4)
    board = history_table(read_history([a, b])).sort_index()
    settings = {name: board[name].tolist() for name in board if name.startswith("set.")}
    assert settings == {
        "set.folds.seed": ["0", "4"],
        "set.models.b0.image_size": ["96", "128"],
        "set.recipe.learners.xgb": ["-", "yes"],
    }


def test_a_network_that_only_some_experiments_have_differs_in_one_key() -> None:
    with_b0 = {"networks.b0": "yes", "models.b0.image_size": "96", "folds.number": "5"}
    with_b1 = {"networks.b1": "yes", "models.b1.image_size": "128", "folds.number": "5"}
    assert differing_keys([with_b0, with_b1]) == ["networks.b0", "networks.b1"]


def test_the_written_table_equals_the_printed_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, strength in {"a": 0.5, "b": 3.0}.items():
        write_experiment(tmp_path / name, strength=strength, seeds=2 if name == "a" else 3)
    board = compare_runs([], tmp_path)
    from_file = pd.read_csv(tmp_path / "leaderboard.csv", index_col="experiment")
    np.testing.assert_allclose(from_file["auc"], board["auc"])
    output = capsys.readouterr().out
    assert f"{board.loc['a/default', 'gain']:+.4f}" in output
    assert "recipe.seeds" in output
    assert "gain: AUC minus the AUC of b/default, on the same cases" in output


def test_all_finished_runs_are_compared_by_default(tmp_path: Path) -> None:
    write_experiment(tmp_path / "done")
    (tmp_path / "begun" / "level2" / "default").mkdir(parents=True)
    assert run_folders([], tmp_path) == [tmp_path / "done"]
    assert [path.name for path in finished_stacks(tmp_path / "done")] == ["default"]


def test_all_runs_without_a_finished_stack_are_named(tmp_path: Path) -> None:
    write_experiment(tmp_path / "done")
    with pytest.raises(InputFault, match=r"2 faults\n.*x: no finished.*\n.*y: no finished"):
        run_folders([tmp_path / "done", tmp_path / "x", tmp_path / "y"], tmp_path)
    with pytest.raises(InputFault, match="no run in this folder"):
        run_folders([], tmp_path / "nothing")


def test_a_stack_with_a_missing_table_is_a_fault(tmp_path: Path) -> None:
    run = write_experiment(tmp_path / "a")
    (run / "level2" / "default" / "calibration.csv").unlink()
    with pytest.raises(InputFault, match=r"a/level2/default: missing files 1 \(calibration\.csv\)"):
        read_history([run])


def test_two_runs_with_the_same_name_are_named_by_their_paths(tmp_path: Path) -> None:
    runs = [write_experiment(tmp_path / parent / "run") for parent in ("x", "y")]
    assert [each.name for each in read_history(runs)] == [f"{run}/default" for run in runs]
