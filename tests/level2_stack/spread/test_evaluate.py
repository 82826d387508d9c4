"""Tests for evaluate.py on a real cluster: fits like those of one process, restarts, stored fits and error messages."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("distributed")

from level2_stack.evaluation.auc import auc, delong_interval
from level2_stack.foreign.read import import_predictions
from level2_stack.learners import find
from level2_stack.recipe import check_recipe
from level2_stack.spread.evaluate import Spread, make_spread, spread_learners
from level2_stack.spread.table import KEYS, open_table
from runtime.errors import InputFault
from tests.level2_stack.learners.learner_rows import design
from tests.runtime.cluster.local_cluster import cluster, kill_a_busy_worker
from tests.sources import ROOT

RECIPE = """
learners = ["lgbm", "xgb", "mean"]
blend = ["lgbm"]
[lgbm]
rounds = 60
monotone = true
[xgb]
rounds = 60
monotone = true
"""
BOOSTERS = ["lgbm", "xgb"]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with cluster(workers=2) as (scheduler, _):
        yield scheduler


def table_of(rows: int, tests: int, seed: int = 0) -> pd.DataFrame:
    """Return a table of patients with four rows each in three folds, and of test rows."""
    X, y, patients = design(rows + tests, seed)
    train = np.arange(rows + tests) < rows
    keys = pd.DataFrame(
        {
            "image_name": X.index,
            "patient_id": patients,
            "fold": np.where(train, np.arange(rows + tests) // 4 % 3, np.nan),
            "target": np.where(train, y, np.nan),
        },
        index=X.index,
    )
    return pd.concat([keys, X], axis=1)


def split_rows(table: pd.DataFrame, count: int) -> list[pd.DataFrame]:
    return [table.iloc[start::count] for start in range(count)]


def write_table(folder: Path | str, tables: list[pd.DataFrame]) -> str:
    if isinstance(folder, Path):
        folder.mkdir()
    for number, table in enumerate(tables):
        table.to_parquet(f"{folder}/{number}.parquet", index=False)
    return str(folder)


def spread_job(out: Path, table: str, name: str, **params: object) -> Spread:
    recipe = check_recipe({"learners": [name], "blend": [name], name: params}, "test")
    return Spread(open_table(table), spread_learners(recipe, "test"), out)


def command(folder: Path, table: str, address: str) -> subprocess.CompletedProcess[str]:
    (folder / "recipe.toml").write_text(RECIPE)
    options = ["--table", table, "--out", str(folder / "out"), "--recipe", str(folder / "recipe.toml")]
    line = [sys.executable, "-m", "melstack", "spread", *options, "--cluster", address]
    return subprocess.run(line, cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def scores(out: Path, name: str, file: str = "oof") -> pd.Series:
    path = out / "predictions" / f"spread_{name}" / f"{file}.csv"
    return pd.read_csv(path, index_col="image_name", float_precision="round_trip")["pred"]


def one_process(table: pd.DataFrame, name: str, **params: object) -> tuple[pd.Series, pd.Series]:
    """Return the probabilities of fits in this process, out of fold and for the test rows."""
    learner, train, features = find(name), table["target"].notna(), table.drop(columns=list(KEYS))
    held_out, test = [], 0
    for fold in range(3):
        rows, own = train & (table["fold"] != fold), train & (table["fold"] == fold)
        groups = table.loc[rows, "patient_id"].to_numpy(object)
        y = table.loc[rows, "target"].to_numpy()
        model = learner.fit(learner.Params(**params), features[rows], y, groups=groups, seed=0)
        held_out.append(pd.Series(model(features[own]), table.index[own]))
        test = test + pd.Series(model(features[~train]), table.index[~train]) / 3
    return pd.concat(held_out), test


@pytest.mark.full
def test_fits_over_two_workers_are_like_those_of_one_process(address: str, tmp_path: Path) -> None:
    table = table_of(6000, 300)
    url = Path(write_table(tmp_path / "table", split_rows(table, 3))).as_uri()
    process = command(tmp_path, url, address)
    assert process.returncode == 0, process.stdout
    for name in BOOSTERS:
        alone, alone_test = one_process(table, name, rounds=60, monotone=True)
        oof, test = scores(tmp_path / "out", name).loc[alone.index], scores(tmp_path / "out", name, "test")
        truth = table.loc[alone.index, "target"].to_numpy()
        assert auc(truth, oof.to_numpy()) == pytest.approx(auc(truth, alone.to_numpy()), abs=0.002)
        assert oof.corr(alone, method="spearman") >= 0.99
        assert test.corr(alone_test.loc[test.index], method="spearman") >= 0.99
        assert not np.array_equal(oof, alone)  # both workers had rows
        value, low, high = delong_interval(truth, oof.to_numpy())
        assert f"{name}: AUC {value:.4f} out of fold (95 % by DeLong {low:.4f} to {high:.4f})" in process.stdout
    assert "spread: fresh" in command(tmp_path, url, address).stdout


@pytest.mark.full
@pytest.mark.parametrize("name", BOOSTERS)
def test_with_all_rows_on_one_worker_the_fits_equal_those_of_one_process_to_the_bit(
    address: str, tmp_path: Path, name: str
) -> None:
    table = table_of(1200, 60)
    make_spread(spread_job(tmp_path, write_table(tmp_path / "table", [table]), name, rounds=30, monotone=True), address)
    for file, alone in zip(("oof", "test"), one_process(table, name, rounds=30, monotone=True), strict=True):
        np.testing.assert_array_equal(scores(tmp_path, name, file).loc[alone.index], alone)


@pytest.mark.full
@pytest.mark.parametrize("name", BOOSTERS)
def test_a_fit_that_loses_a_worker_starts_again(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = table_of(6000, 0)
    with cluster(workers=2) as (address, _), ThreadPoolExecutor() as thread:
        kill = thread.submit(kill_a_busy_worker, address, lambda: True, "train")
        make_spread(
            spread_job(tmp_path, write_table(tmp_path / "table", split_rows(table, 4)), name, rounds=300), address
        )
        assert kill.result()
    assert capsys.readouterr().out.count("a fit over 2 workers lost tcp://") == 1
    alone, _ = one_process(table, name, rounds=300)
    assert scores(tmp_path, name).loc[alone.index].corr(alone, method="spearman") >= 0.99


@pytest.mark.full
def test_a_file_may_have_benign_rows_only_and_a_finished_fit_is_not_repeated(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = table_of(600, 30)
    benign = table.index.isin(table.index[table["target"] == 0][:200])
    spread = spread_job(tmp_path, write_table(tmp_path / "table", [table[benign], table[~benign]]), "lgbm", rounds=20)
    make_spread(spread, address)
    assert auc(*table.dropna()[["target"]].join(scores(tmp_path, "lgbm")).to_numpy().T) > 0.7
    first = {path: path.read_bytes() for path in spread.outputs()}
    (tmp_path / "models" / "lgbm" / "fold_1" / "fit.json").unlink()
    capsys.readouterr()
    make_spread(spread, address)
    output = capsys.readouterr().out
    assert (output.count("already finished"), output.count("fitting without fold 1")) == (2, 1)
    assert len(first) == 2
    cases = table.set_index("image_name").assign(role=lambda rows: np.where(rows["target"].notna(), "train", "test"))
    foreign = import_predictions(tmp_path / "predictions", cases, ["spread_lgbm"])
    assert [network.name for network in foreign.valid_networks] == ["spread_lgbm"]
    assert foreign.valid_networks[0].table["fold"].value_counts().to_dict() == {0: 200, 1: 200, 2: 200, -1: 30}


def test_a_text_column_must_have_between_1_and_1000_different_texts(address: str, tmp_path: Path) -> None:
    table = table_of(1200, 0).assign(name=lambda rows: rows["image_name"] + "x", nothing=None)
    table["nothing"] = table["nothing"].astype("string")
    with pytest.raises(InputFault) as error:
        make_spread(spread_job(tmp_path, write_table(tmp_path / "table", split_rows(table, 3)), "lgbm"), address)
    assert "column 'name' has 1200 different texts" in str(error.value)
    assert "column 'nothing' has 0 different texts" in str(error.value)


def test_the_error_of_a_worker_that_cannot_read_a_file_is_raised(address: str, tmp_path: Path) -> None:
    tables = split_rows(table_of(240, 0).drop(columns="metadata.site"), 2)
    spread = spread_job(tmp_path, write_table(tmp_path / "table", tables), "lgbm")
    (tmp_path / "table" / "1.parquet").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="Parquet magic bytes"):
        make_spread(spread, address)


def test_workers_that_cannot_list_the_table_raise_an_error(address: str, tmp_path: Path) -> None:
    spread = spread_job(
        tmp_path, write_table("memory://of_this_process_alone", split_rows(table_of(240, 0), 2)), "lgbm"
    )
    with pytest.raises(InputFault, match="the list of files in the table's folder is absent"):
        make_spread(spread, address)


def test_a_faulty_table_is_refused_before_the_work_is_sent_to_the_cluster(tmp_path: Path) -> None:
    folder = write_table(tmp_path / "table", split_rows(table_of(240, 0).drop(columns="patient_id"), 2))
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, but is not a scheduler
        process = command(tmp_path, folder, f"tcp://127.0.0.1:{silent.getsockname()[1]}")
    assert process.returncode == 2
    assert "column(s) missing: 1 (patient_id)" in process.stdout
    assert not (tmp_path / "out").exists()


def test_settings_without_effect_on_spread_fits_are_refused() -> None:
    recipe = check_recipe({"learners": ["mean"], "blend": ["mean"], "negatives_per_positive": 3.0}, "test")
    with pytest.raises(InputFault, match=r"2 fault(.|\n)*none of them can spread(.|\n)*negatives_per_positive = 3"):
        spread_learners(recipe, "test")
    recipe = check_recipe({"learners": ["lgbm"], "blend": ["lgbm"], "lgbm": {"num_threads": 4}}, "test")
    with pytest.raises(InputFault, match=r"\[lgbm\] num_threads = 4 has no effect: each worker has one thread"):
        spread_learners(recipe, "test")
    with pytest.raises(InputFault, match=r"unknown key 'lgbm.partitions'; known are: .*num_leaves"):
        check_recipe({"lgbm": {"partitions": 2}}, "test")
