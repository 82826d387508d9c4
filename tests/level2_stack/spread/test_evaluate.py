"""Tests of the boosters over a stored table on a real cluster: as fits of rows that are sent, kept, and refused."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("distributed")

from level2_stack.crossval.cluster import parts_at
from level2_stack.evaluation.auc import auc, delong_interval
from level2_stack.foreign.read import import_foreign
from level2_stack.learners import find
from level2_stack.partitions import Rows
from level2_stack.recipe import check_recipe
from level2_stack.spreading import Spread, make_spread, spread_learners
from level2_stack.stored_labels import IDS, read_names
from level2_stack.stored_table import StoredTable, open_table
from runtime.errors import InputFault
from tests.level2_stack.learners.test_contract import design
from tests.runtime.cluster.test_scheduler import ROOT, cluster

RECIPE = """
learners = ["lgbm", "xgb", "mean"]
blend = ["lgbm"]
[lgbm]
rounds = 60
[xgb]
rounds = 60
"""
KEYS = ["image_name", "patient_id", "fold", "target"]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with cluster(workers=3) as (found, _):
        yield found


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


def stored(folder: Path, table: pd.DataFrame, count: int) -> Path:
    folder.mkdir()
    for start in range(count):
        table.iloc[start::count].to_parquet(folder / f"{start}.parquet", index=False)
    return folder


def command(folder: Path, address: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "recipe.toml").write_text(RECIPE)
    given = ["--table", str(folder / "table"), "--out", str(folder / "out"), "--recipe", str(folder / "recipe.toml")]
    line = [sys.executable, "-m", "melstack", "spread", *given, "--cluster", address, *options]
    return subprocess.run(line, cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def sent(table: pd.DataFrame, address: str, folder: Path, name: str) -> tuple[pd.Series, pd.Series]:
    """Return what fits of rows that are sent say of each fold and of the test rows."""
    learner, known = find(name), table["target"].notna()
    held_out, test = [], 0
    with parts_at(address, folder) as machines:
        for fold in range(3):
            rows = [
                part[part["target"].notna() & (part["fold"] != fold)] for part in (table.iloc[i::3] for i in range(3))
            ]
            parts = [Rows(part.drop(columns=KEYS), part["target"].to_numpy()) for part in rows]
            model = learner.fit_parts(learner.Params(rounds=60), parts, seed=0, cluster=machines)
            own = table[known & (table["fold"] == fold)]
            held_out.append(pd.Series(model(own.drop(columns=KEYS)), own.index))
            test = test + pd.Series(model(table[~known].drop(columns=KEYS)), table.index[~known]) / 3
    return pd.concat(held_out), test


@pytest.mark.full
def test_fits_of_stored_rows_are_those_of_sent_rows_to_the_bit_and_like_those_of_one_process(
    address: str, tmp_path: Path
) -> None:
    table = table_of(6000, 300)
    folder = stored(tmp_path / "table", table, 3)
    done = command(tmp_path, address)
    assert done.returncode == 0, done.stdout
    for name in ("lgbm", "xgb"):
        oof, test = scores(tmp_path / "out", name, "oof"), scores(tmp_path / "out", name, "test")
        held_out, said = sent(table, address, folder, name)
        np.testing.assert_array_equal(oof.loc[held_out.index], held_out)
        np.testing.assert_array_equal(test.loc[said.index], said)
        truth, alone = table["target"].loc[oof.index].to_numpy(), one_process(table, name).loc[oof.index]
        assert auc(truth, oof.to_numpy()) == pytest.approx(auc(truth, alone.to_numpy()), abs=0.002)
        assert oof.corr(alone, method="spearman") > 0.99
        value, low, high = delong_interval(truth, oof.to_numpy())
        assert f"{name}: AUC {value:.4f} out of fold (95 % by DeLong {low:.4f} to {high:.4f})" in done.stdout
    assert "spread: fresh" in command(tmp_path, address).stdout


def cases_of(table: StoredTable) -> pd.DataFrame:
    """Return the cases of a run that holds the rows of ``table``."""
    names, patients = (np.concatenate([read_names(file, key) for file in table.files]) for key in IDS)
    cases = table.labels.assign(patient_id=patients).set_axis(pd.Index(names, name="image_name"))
    return cases.assign(role=np.where(cases["target"].notna(), "train", "test"))


def scores(out: Path, name: str, file: str) -> pd.Series:
    path = out / "predictions" / f"spread_{name}" / f"{file}.csv"
    return pd.read_csv(path, index_col="image_name", float_precision="round_trip")["pred"]


def one_process(table: pd.DataFrame, name: str) -> pd.Series:
    learner, train = find(name), table[table["target"].notna()]
    held_out = []
    for fold in range(3):
        rows, own = train[train["fold"] != fold], train[train["fold"] == fold]
        groups = rows["patient_id"].to_numpy(object)
        model = learner.fit(
            learner.Params(rounds=60), rows.drop(columns=KEYS), rows["target"].to_numpy(), groups=groups, seed=0
        )
        held_out.append(pd.Series(model(own.drop(columns=KEYS)), own.index))
    return pd.concat(held_out)


@pytest.mark.full
def test_several_files_are_a_part_and_a_fit_that_is_kept_is_not_made_again(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = check_recipe({"learners": ["xgb"], "blend": ["xgb"], "xgb": {"rounds": 20, "partitions": 2}}, "test")
    table = open_table(stored(tmp_path / "table", table_of(600, 30), 5))
    asked = Spread(table, spread_learners(recipe, "test"), tmp_path)
    make_spread(asked, address)
    assert capsys.readouterr().out.count("in 2 parts") == 3
    first = {path: path.read_bytes() for path in asked.outputs()}
    models = tmp_path / "models" / "xgb"
    (models / "fold_1" / "fit.json").unlink()
    for path in first:
        path.unlink()
    make_spread(asked, address)
    said = capsys.readouterr().out
    assert (said.count("kept"), said.count("fitting without fold 1")) == (2, 1)
    assert {path: path.read_bytes() for path in asked.outputs()} == first
    imported = import_foreign(tmp_path / "predictions", cases_of(table), ["spread_xgb"])
    assert [network.name for network in imported.accepted] == ["spread_xgb"]
    assert imported.accepted[0].table["fold"].value_counts().to_dict() == {0: 200, 1: 200, 2: 200, -1: 30}


def test_fewer_workers_than_parts_are_refused(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.cluster.scheduler.WORKER_SECONDS", 0.5)
    recipe = check_recipe({"learners": ["lgbm"], "blend": ["lgbm"]}, "test")
    table = open_table(stored(tmp_path / "table", table_of(240, 0), 4))
    asked = Spread(table, spread_learners(recipe, "test"), tmp_path)
    with pytest.raises(InputFault, match="4 parts take as many workers, and 3 are there"):
        make_spread(asked, address)


def test_a_column_of_names_is_no_category_and_one_without_any_text_is_none_either(address: str, tmp_path: Path) -> None:
    recipe = check_recipe({"learners": ["lgbm"], "blend": ["lgbm"]}, "test")
    table = table_of(1200, 0).assign(name=lambda given: given["image_name"] + "x", nothing=None)
    table["nothing"] = table["nothing"].astype("string")
    asked = Spread(open_table(stored(tmp_path / "table", table, 3)), spread_learners(recipe, "test"), tmp_path)
    with pytest.raises(InputFault) as caught:
        make_spread(asked, address)
    assert "column 'name' has 1200 different texts" in str(caught.value)
    assert "column 'nothing' has 0 different texts" in str(caught.value)


def test_a_faulty_table_is_refused_before_any_worker_is_asked(tmp_path: Path) -> None:
    stored(tmp_path / "table", table_of(240, 0).drop(columns="patient_id"), 2)
    done = command(tmp_path, "tcp://127.0.0.1:9")
    assert done.returncode == 2
    assert "lacks the column(s) 1 (patient_id)" in done.stdout
    assert not (tmp_path / "out").exists()


def test_settings_without_effect_on_such_fits_are_refused() -> None:
    recipe = check_recipe({"learners": ["mean"], "blend": ["mean"], "negatives_per_positive": 3.0}, "test")
    with pytest.raises(InputFault, match=r"2 fault(.|\n)*none of them can spread(.|\n)*negatives_per_positive = 3"):
        spread_learners(recipe, "test")
