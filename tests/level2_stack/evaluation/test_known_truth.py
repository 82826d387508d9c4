"""Tests for known_truth.py: what was reached of what can be reached, where somebody knows it."""

from pathlib import Path

import numpy as np
import pandas as pd

from level2_stack.evaluation.known_truth import reached, report_known_truth
from runtime.files import write_json
from runtime.provenance import write_mark
from runtime.run_folder import Run
from runtime.tables import write_table


def make_cases() -> pd.DataFrame:
    index = pd.Index([f"c{number}" for number in range(40)], name="image_name")
    role = ["train"] * 20 + ["test"] * 20
    return pd.DataFrame({"role": role, "patient_id": [f"p{number // 2}" for number in range(40)]}, index=index)


def write_truth(folder: Path, cases: pd.DataFrame, risk: bool = True) -> pd.Series:
    score = pd.Series(np.tile(np.linspace(0.05, 0.95, 20), 2), index=cases.index, name="risk")
    truth = pd.DataFrame({"target": (score > 0.5).astype(int)}, index=cases.index)
    if risk:
        truth["risk"] = score
    truth.to_csv(folder / "truth.csv")
    return score


def test_without_a_truth_nothing_is_said(tmp_path: Path) -> None:
    assert reached(tmp_path, make_cases(), {}, "blend", "test") == []


def test_the_ceiling_is_the_auc_of_the_true_risk_on_the_rows_of_the_role(tmp_path: Path) -> None:
    cases = make_cases()
    score = write_truth(tmp_path, cases)
    turned = score.where(cases["role"] == "train", 1 - score)
    scores = {"blend": score, "net": turned}
    first, second = reached(tmp_path, cases, scores, "blend", "test")
    assert first.startswith("on the hidden test truth: reached 1.0000 of 1.0000, the AUC of the true risk")
    assert second.startswith("on the hidden test truth: net 0.0000, blend against it +1.0000")
    first, second = reached(tmp_path, cases, scores, "blend", "train")
    assert first.startswith("out of fold: reached 1.0000 of 1.0000")
    assert second.startswith("out of fold: net 1.0000, blend against it +0.0000")


def test_a_truth_without_risk_has_no_ceiling(tmp_path: Path) -> None:
    cases = make_cases()
    score = write_truth(tmp_path, cases, risk=False)
    (sentence,) = reached(tmp_path, cases, {"blend": score}, "blend", "test")
    assert "true risk" not in sentence


def test_a_truth_of_one_class_says_nothing(tmp_path: Path) -> None:
    cases = make_cases()
    pd.DataFrame({"target": 0}, index=cases.index).to_csv(tmp_path / "truth.csv")
    assert reached(tmp_path, cases, {"blend": write_score(cases)}, "blend", "test") == []


def test_cases_that_the_truth_does_not_know_are_left_out(tmp_path: Path) -> None:
    cases = make_cases()
    score = write_truth(tmp_path, cases)
    known = pd.read_csv(tmp_path / "truth.csv", index_col="image_name").iloc[:35]
    known.to_csv(tmp_path / "truth.csv")
    wrong_on_the_unknown = score.where(score.index.isin(known.index), 1 - score)
    (sentence,) = reached(tmp_path, cases, {"blend": wrong_on_the_unknown}, "blend", "test")
    assert sentence.startswith("on the hidden test truth: reached 1.0000 of 1.0000")


def write_score(cases: pd.DataFrame) -> pd.Series:
    return pd.Series(np.linspace(0, 1, len(cases)), index=cases.index)


def finished_stack(tmp_path: Path, cases: pd.DataFrame, *models: str) -> tuple[Run, Path]:
    """Write what a finished stack leaves behind: its models know the risk, the better network does not."""
    run, risk = Run(tmp_path / "run"), write_truth(tmp_path, cases)
    write_mark(run.cases_mark, {}, data=str(tmp_path))
    for name, score in (("better", 1 - risk), ("worse", risk)):
        write_table(run.level1 / name / "predictions.parquet", score.rename("probability").to_frame())
    folder = run.level2 / "default"
    write_table(folder / "learners.parquet", pd.DataFrame(dict.fromkeys(models, risk)))
    kinds = ["blend", "network", "network"]
    board = pd.DataFrame({"kind": kinds}, index=pd.Index(["blend", "better", "worse"], name="name"))
    board.to_csv(folder / "leaderboard.csv")
    write_json(folder / "decisions.json", {"submitted": "xgb"})
    return run, folder


def test_what_is_submitted_stands_beside_the_rank_mean_and_the_best_network(tmp_path: Path, capsys) -> None:
    cases = make_cases()
    run, folder = finished_stack(tmp_path, cases, "lgbm", "xgb", "rank_mean")
    report_known_truth(run, folder, cases, "test")
    reached_line, rank_mean, network = capsys.readouterr().out.strip().splitlines()
    assert "on the hidden test truth: reached 1.0000 of 1.0000, the AUC of the true risk" in reached_line
    assert "rank_mean 1.0000, xgb against it +0.0000" in rank_mean
    assert "better 0.0000, xgb against it +1.0000" in network


def test_a_stack_without_a_rank_mean_is_compared_with_the_best_network_alone(tmp_path: Path, capsys) -> None:
    cases = make_cases()
    run, folder = finished_stack(tmp_path, cases, "xgb")
    report_known_truth(run, folder, cases, "train")
    said = capsys.readouterr().out.strip().splitlines()
    assert [line.strip().split(" ")[3] for line in said] == ["reached", "better"]


def test_where_nobody_knows_the_truth_a_finished_stack_says_nothing(tmp_path: Path, capsys) -> None:
    cases = make_cases()
    run, folder = finished_stack(tmp_path, cases, "xgb")
    (tmp_path / "truth.csv").unlink()
    report_known_truth(run, folder, cases, "test")
    assert capsys.readouterr().out == ""
