"""Tests for known_truth.py: the AUC on the true labels, beside the best attainable one."""

from pathlib import Path

import numpy as np
import pandas as pd

from level2_stack.evaluation.known_truth import report_known_truth, truth_sentences
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


def test_without_a_truth_table_there_are_no_sentences(tmp_path: Path) -> None:
    assert truth_sentences(tmp_path, make_cases(), {}, "blend", "test") == []


def test_the_best_attainable_auc_is_that_of_the_true_risk_on_the_rows_of_the_role(tmp_path: Path) -> None:
    cases = make_cases()
    score = write_truth(tmp_path, cases)
    reversed_on_test = score.where(cases["role"] == "train", 1 - score)
    scores = {"blend": score, "net": reversed_on_test}
    first, second = truth_sentences(tmp_path, cases, scores, "blend", "test")
    assert first.startswith("on the hidden test labels: AUC of blend 1.0000 [1.0000, 1.0000]; best attainable 1.0000")
    assert second.startswith("on the hidden test labels: AUC of net 0.0000; gain of blend +1.0000")
    first, second = truth_sentences(tmp_path, cases, scores, "blend", "train")
    assert first.startswith("out of fold: AUC of blend 1.0000 [1.0000, 1.0000]; best attainable 1.0000")
    assert second.startswith("out of fold: AUC of net 1.0000; gain of blend +0.0000")


def test_without_a_true_risk_the_best_attainable_auc_is_not_printed(tmp_path: Path) -> None:
    cases = make_cases()
    score = write_truth(tmp_path, cases, risk=False)
    (sentence,) = truth_sentences(tmp_path, cases, {"blend": score}, "blend", "test")
    assert "true risk" not in sentence


def test_a_truth_table_with_one_class_gives_no_sentences(tmp_path: Path) -> None:
    cases = make_cases()
    pd.DataFrame({"target": 0}, index=cases.index).to_csv(tmp_path / "truth.csv")
    assert truth_sentences(tmp_path, cases, {"blend": write_score(cases)}, "blend", "test") == []


def test_cases_without_a_true_label_are_ignored(tmp_path: Path) -> None:
    cases = make_cases()
    score = write_truth(tmp_path, cases)
    labels = pd.read_csv(tmp_path / "truth.csv", index_col="image_name").iloc[:35]
    labels.to_csv(tmp_path / "truth.csv")
    wrong_without_label = score.where(score.index.isin(labels.index), 1 - score)
    (sentence,) = truth_sentences(tmp_path, cases, {"blend": wrong_without_label}, "blend", "test")
    assert sentence.startswith("on the hidden test labels: AUC of blend 1.0000")


def write_score(cases: pd.DataFrame) -> pd.Series:
    return pd.Series(np.linspace(0, 1, len(cases)), index=cases.index)


def write_stack(tmp_path: Path, cases: pd.DataFrame, *models: str) -> tuple[Run, Path]:
    """Write the tables of a stack whose models score by the true risk; the network named better reverses it."""
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


def test_the_submitted_model_is_compared_with_the_rank_mean_and_the_best_network(tmp_path: Path, capsys) -> None:
    cases = make_cases()
    run, folder = write_stack(tmp_path, cases, "lgbm", "xgb", "rank_mean")
    report_known_truth(run, folder, cases, "test")
    submitted_model, rank_mean, network = capsys.readouterr().out.strip().splitlines()
    assert "on the hidden test labels: AUC of xgb 1.0000 [1.0000, 1.0000]; best attainable 1.0000" in submitted_model
    assert "AUC of rank_mean 1.0000; gain of xgb +0.0000" in rank_mean
    assert "AUC of better 0.0000; gain of xgb +1.0000" in network


def test_a_stack_without_a_rank_mean_is_compared_with_the_best_network_only(tmp_path: Path, capsys) -> None:
    cases = make_cases()
    run, folder = write_stack(tmp_path, cases, "xgb")
    report_known_truth(run, folder, cases, "train")
    lines = capsys.readouterr().out.strip().splitlines()
    assert [line.strip().split(" ")[5] for line in lines] == ["xgb", "better"]


def test_without_a_truth_table_nothing_is_printed(tmp_path: Path, capsys) -> None:
    cases = make_cases()
    run, folder = write_stack(tmp_path, cases, "xgb")
    (tmp_path / "truth.csv").unlink()
    report_known_truth(run, folder, cases, "test")
    assert capsys.readouterr().out == ""
