"""Tests for bring.py: foreign networks become level-one models, and are removed when their files become invalid."""

from pathlib import Path

import pytest

from level2_stack.foreign.bring import import_after_training, import_into_run
from runtime.errors import InputFault
from runtime.files import read_json
from runtime.provenance import write_mark
from runtime.run_folder import Run
from runtime.tables import read_table, write_table
from tests.level2_stack.foreign.foreign_files import OOF, TEST, small_cases, write_foreign


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path / "run")
    write_table(run.cases, small_cases())
    write_mark(run.cases_mark, {})
    return run


def test_a_valid_network_becomes_a_level_one_model(run: Run, tmp_path: Path) -> None:
    write_foreign(tmp_path / "foreign", "net")
    import_into_run(run, tmp_path / "foreign", [])
    assert run.networks() == ["net"]
    table = read_table(run.level1 / "net" / "predictions.parquet")
    assert table["probability"].to_dict() == {"a": 0.1, "b": 0.6, "c": 0.5, "x": 0.3, "d": 0.4, "y": 0.2}


def test_files_are_imported_again_only_after_a_change(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = tmp_path / "foreign"
    write_foreign(foreign, "net")
    import_into_run(run, foreign, [])
    assert "net: imported" in capsys.readouterr().out
    import_into_run(run, foreign, [])
    assert "net: fresh" in capsys.readouterr().out
    write_foreign(foreign, "net", oof=OOF.replace("a,0.1", "a,0.15"))
    import_into_run(run, foreign, [])
    assert read_table(run.level1 / "net" / "predictions.parquet").loc["a", "probability"] == 0.15


def test_a_network_whose_files_become_invalid_is_removed(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = tmp_path / "foreign"
    write_foreign(foreign, "net")
    write_foreign(foreign, "other")
    import_into_run(run, foreign, [])
    write_foreign(foreign, "net", oof=OOF.replace("0.6", "6"))
    import_into_run(run, foreign, [])
    assert run.networks() == ["other"]
    assert "net: REFUSED" in capsys.readouterr().out


def test_a_network_trained_in_the_run_is_never_overwritten(run: Run, tmp_path: Path) -> None:
    write_foreign(tmp_path / "foreign", "net")
    write_mark(run.level1 / "net" / "begun.json", {"settings": 1})
    with pytest.raises(InputFault, match=r"the name of a network of this run: 1 \(net\); rename"):
        import_into_run(run, tmp_path / "foreign", [])


def test_a_missing_folder_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputFault, match="nowhere: no such folder; foreign predictions are expected in"):
        import_into_run(run, tmp_path / "nowhere", [])


def test_networks_that_are_trained_after_an_import_are_compared_with_it(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_foreign(tmp_path / "foreign", "net")
    import_into_run(run, tmp_path / "foreign", [])
    capsys.readouterr()
    import_after_training(run, tmp_path / "foreign", [])
    assert not capsys.readouterr().out
    table = read_table(run.level1 / "net" / "predictions.parquet")
    write_table(run.level1 / "ours" / "predictions.parquet", table)
    write_mark(run.level1 / "ours" / "begun.json", {})
    write_mark(run.level1 / "ours" / "run.json", {}, [run.level1 / "ours" / "predictions.parquet"])
    import_after_training(run, tmp_path / "foreign", [])
    output = capsys.readouterr().out
    assert "compared with the networks of this run" in output
    assert list(read_json(run.folder / "foreign.json")["own"]) == ["ours"]
    import_after_training(run, tmp_path / "foreign", [])
    assert not capsys.readouterr().out


def test_made_names_and_flat_files_are_fresh_until_their_files_change(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = tmp_path / "foreign"
    write_foreign(foreign, "b5-384")
    (foreign / "oof_1.csv").write_text(OOF.replace("0.1", "0.2"))
    (foreign / "sub_1.csv").write_text(TEST)
    import_into_run(run, foreign, [])
    assert run.networks() == ["b5_384", "net_1"]
    import_into_run(run, foreign, [])
    assert "foreign networks: 2 fresh" in capsys.readouterr().out
    (foreign / "sub_1.csv").write_text(TEST.replace("0.3", "0.35"))
    import_into_run(run, foreign, [])
    assert read_table(run.level1 / "net_1" / "predictions.parquet").loc["x", "probability"] == 0.35
