"""Tests for bring.py: foreign networks become level-one models, and stop being so when they fail."""

from pathlib import Path

import pytest

from features.folder.layout import Request
from features.freeze_cases import freeze_cases
from level2_stack.foreign.bring import bring_foreign
from runtime.errors import InputFault
from runtime.provenance import finish
from runtime.run_folder import Run
from runtime.tables import read_table

COLUMNS = "image_name,patient_id,sex,age_approx,anatom_site_general_challenge"
OOF = "image_name,pred\na1,0.1\na2,0.6\nb1,0.5\nb2,0.55\n"
TEST = "image_name,pred\nt1,0.3\nt2,0.4\n"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a run of four train and two test cases without pictures."""
    data, place = tmp_path / "data", Run(tmp_path / "run")
    data.mkdir()
    (data / "train.csv").write_text(f"{COLUMNS},target\na1,p1,,,,0\na2,p1,,,,1\nb1,p2,,,,1\nb2,p2,,,,0\n")
    (data / "test.csv").write_text(f"{COLUMNS}\nt1,q1,,,\nt2,q1,,,\n")
    freeze_cases(place, Request(data, folds=2))
    return place


def bring(folder: Path, name: str, oof: str = OOF, test: str = TEST) -> None:
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "oof.csv").write_text(oof)
    (folder / name / "test.csv").write_text(test)


def test_a_sound_network_becomes_a_level_one_model(run: Run, tmp_path: Path) -> None:
    bring(tmp_path / "foreign", "net")
    bring_foreign(run, tmp_path / "foreign", [])
    assert run.networks() == ["net"]
    table = read_table(run.level1 / "net" / "predictions.parquet")
    assert table["probability"].to_dict() == {"a1": 0.1, "a2": 0.6, "b1": 0.5, "b2": 0.55, "t1": 0.3, "t2": 0.4}


def test_nothing_is_imported_again_until_a_file_changes(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = tmp_path / "foreign"
    bring(foreign, "net")
    bring_foreign(run, foreign, [])
    assert "net: imported" in capsys.readouterr().out
    bring_foreign(run, foreign, [])
    assert "net: fresh" in capsys.readouterr().out
    bring(foreign, "net", oof=OOF.replace("a1,0.1", "a1,0.15"))
    bring_foreign(run, foreign, [])
    assert read_table(run.level1 / "net" / "predictions.parquet").loc["a1", "probability"] == 0.15


def test_a_network_that_fails_later_is_no_longer_stacked(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = tmp_path / "foreign"
    bring(foreign, "net")
    bring(foreign, "other")
    bring_foreign(run, foreign, [])
    bring(foreign, "net", oof=OOF.replace("0.6", "6"))
    bring_foreign(run, foreign, [])
    assert run.networks() == ["other"]
    assert "net: REFUSED" in capsys.readouterr().out


def test_a_network_trained_here_is_never_overwritten(run: Run, tmp_path: Path) -> None:
    bring(tmp_path / "foreign", "net")
    finish(run.level1 / "net" / "begun.json", {"settings": 1})
    with pytest.raises(InputFault, match=r"trained in this run has the name of 1 \(net\)"):
        bring_foreign(run, tmp_path / "foreign", [])


def test_a_folder_that_does_not_exist_is_named(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputFault, match="no such folder of foreign predictions"):
        bring_foreign(run, tmp_path / "nowhere", [])
