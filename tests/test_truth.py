"""Tests for level2_stack/truth.py: what was reached of what can be reached, where somebody knows it."""

from pathlib import Path

import numpy as np
import pandas as pd

from level2_stack.truth import reached


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
