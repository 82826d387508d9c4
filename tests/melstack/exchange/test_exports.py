"""Tests for exports.py: every finished network and stack also stands as CSV files, which an import reads."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from level2_stack.foreign.bring import import_into_run
from level2_stack.foreign.read import import_predictions
from melstack.exchange.exports import MARK, export_predictions
from runtime.files import write_json
from runtime.provenance import write_mark
from runtime.run_folder import Run
from runtime.tables import read_table, write_table
from tests.level2_stack.foreign_run import make_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a run with two imported networks."""
    run = make_run(tmp_path / "data")
    import_into_run(run, tmp_path / "data" / "foreign", [])
    return run


def add_network(run: Run, name: str) -> pd.DataFrame:
    """Add a finished network with the folds of the run and numbers that need all digits."""
    cases, random = run.read_cases(), np.random.default_rng(3)
    table = pd.DataFrame({"probability": random.random(len(cases)), "spread": np.nan, "fold": cases["fold"]})
    write_table(run.level1 / name / "predictions.parquet", table)
    write_mark(run.level1 / name / "run.json", {}, [run.level1 / name / "predictions.parquet"])
    return table


def add_stack(run: Run) -> pd.DataFrame:
    """Add a finished stack whose headline is not the submitted model."""
    cases, random, folder = run.read_cases(), np.random.default_rng(4), run.level2 / "quick"
    learners = pd.DataFrame(random.random((len(cases), 2)), index=cases.index, columns=["choice", "lgbm"])
    write_table(folder / "learners.parquet", learners)
    submitted = pd.DataFrame({"probability": learners["lgbm"], "spread": 0.0, "fold": cases["fold"]})
    write_table(folder / "predictions.parquet", submitted)
    write_json(folder / "decisions.json", {"headline": "choice", "submitted": "lgbm"})
    write_mark(folder / "run.json", {}, [folder / "learners.parquet", folder / "predictions.parquet"])
    return learners


def test_a_network_as_csv_is_imported_as_the_same_numbers_with_its_folds(run: Run, tmp_path: Path) -> None:
    table = add_network(run, "net")
    export_predictions(run)
    (tmp_path / "one").mkdir()
    (run.level1 / "net").rename(tmp_path / "one" / "net")
    imports = import_predictions(tmp_path / "one", run.read_cases())
    assert imports.networks[0].table is not None
    pd.testing.assert_frame_equal(imports.networks[0].table, table, check_exact=True)
    assert "they are this run's folds" in "\n".join(imports.networks[0].notes)


def test_a_level_one_folder_is_a_folder_of_foreign_predictions(run: Run) -> None:
    export_predictions(run)
    imports = import_predictions(run.level1, run.read_cases())
    assert [network.name for network in imports.valid_networks] == ["good", "poor"]
    header = (run.level1 / "good" / "oof.csv").read_text().splitlines()[0]
    assert header == "image_name,pred"  # this network came without folds
    assert (run.level1 / "good" / "test.csv").read_text().startswith("image_name,target\nc480,")


def test_a_stack_stands_with_its_headline_and_its_submitted_probabilities(run: Run) -> None:
    learners = add_stack(run)
    export_predictions(run)
    oof, test = (
        pd.read_csv(run.level2 / "quick" / f"{name}.csv", index_col=0, float_precision="round_trip")
        for name in ("oof", "test")
    )
    train = run.read_cases().query("role == 'train'").index
    assert oof["pred"].to_dict() == learners.loc[train, "choice"].to_dict()
    assert test["target"].to_dict() == learners.drop(index=train)["lgbm"].to_dict()


def test_marks_of_finished_networks_stay_and_a_second_export_writes_nothing(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    add_stack(run)
    marks = {path: path.read_bytes() for path in run.folder.rglob("run.json")}
    export_predictions(run)
    files = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*.csv")}
    assert len(files) == 6
    assert "are beside the tables of good, poor, quick" in capsys.readouterr().out
    export_predictions(run)
    assert capsys.readouterr().out == ""
    assert {path: path.stat().st_mtime_ns for path in run.folder.rglob("*.csv")} == files
    assert {path: path.read_bytes() for path in run.folder.rglob("run.json")} == marks


def test_a_damaged_file_or_another_table_is_written_again(run: Run) -> None:
    export_predictions(run)
    file = run.level1 / "good" / "test.csv"
    content, mark = file.read_bytes(), (run.level1 / "good" / MARK).read_bytes()
    file.write_bytes(content.replace(b"0.", b"1.", 1))
    export_predictions(run)
    assert (file.read_bytes(), (run.level1 / "good" / MARK).read_bytes()) == (content, mark)
    table = run.level1 / "good" / "predictions.parquet"
    write_table(table, read_table(table).assign(probability=0.25))
    export_predictions(run)
    assert file.read_bytes() == content  # the table is damaged: it differs from its mark
    write_mark(run.level1 / "good" / "run.json", {}, [table])
    export_predictions(run)
    assert set(pd.read_csv(file)["target"]) == {0.25}
