"""Tests for write_design.py: the table has the columns, rows and folds of the stack; old files are never mixed in."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.stacking.drawn_table import draw_table
from level2_stack.spread.table import open_table
from runtime.files import read_json
from runtime.run_folder import Run
from tests.level2_stack.foreign_run import make_run
from tests.sources import ROOT

RECIPE = """
seeds = 1
learners = ["lgbm", "mean"]
blend = ["lgbm"]
ablation = false
[lgbm]
rounds = 20
"""


def command(run: Run, *words: str) -> tuple[int, str]:
    options = ["--run", str(run.folder), "--recipe", str(run.folder.parent / "quick.toml")]
    line = [sys.executable, "-m", "melstack", *words, *options]
    process = subprocess.run(line, cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return process.returncode, process.stdout


@pytest.mark.full
def test_the_table_of_a_design_has_the_columns_rows_and_folds_of_the_stack(tmp_path: Path) -> None:
    run = make_run(tmp_path / "data")
    (tmp_path / "data" / "quick.toml").write_text(RECIPE)
    out = ["design", "--parts", "3", "--out", str(tmp_path / "table")]
    assert command(run, *out) == (2, f"error: {run.level2 / 'quick'}: no finished stack; `melstack stack` makes it\n")
    assert not (tmp_path / "table").exists()
    foreign = ["--foreign", str(tmp_path / "data" / "foreign"), "--trust", "good poor"]
    assert command(run, "stack", *foreign)[0] == 0
    assert command(run, *out)[0] == 0
    table, cases = open_table(str(tmp_path / "table")), run.read_cases()
    assert list(table.kinds) == read_json(run.level2 / "quick" / "decisions.json")["columns"]
    labels = table.labels.set_index("image_name").loc[cases.index]
    train = (cases["role"] == "train").to_numpy()
    np.testing.assert_array_equal(labels["fold"][train], cases["fold"][train])
    np.testing.assert_array_equal(labels["target"][train], cases["target"][train])
    assert list(labels["patient_id"]) == list(cases["patient_id"])
    assert labels["target"][~train].isna().all()
    assert table.labels["file"].value_counts().tolist() == [200, 200, 200]
    code, output = command(run, *out)
    assert code == 2
    assert "already holds Parquet files: 3 (part_00000.parquet, part_00001.parquet, part_00002.parquet)" in output


def test_only_the_first_columns_of_a_random_table_are_informative(tmp_path: Path) -> None:
    draw_table(tmp_path, rows=8000, columns=11, files=3)
    table = open_table(str(tmp_path))
    assert (len(table.labels), len(table.kinds), table.folds) == (8000, 11, [0, 1, 2, 3, 4])
    assert table.labels["target"].isna().mean() == pytest.approx(0.1, abs=0.01)
    rows = pd.read_parquet(tmp_path / "part_00000.parquet")
    positive = rows["target"] == 1
    assert rows.loc[positive, "drawn.000"].mean() > 0.4
    assert abs(rows.loc[positive, "drawn.005"].mean()) < 0.3
