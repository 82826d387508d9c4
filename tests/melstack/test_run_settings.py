"""Tests of run.toml: written by the first command, read by later ones, and by hand before the first."""

import tomllib
from pathlib import Path

import pytest

from features.clinic.folder import draw_clinic
from melstack.run_settings import recall
from runtime.errors import InputFault
from tests.command_line import Output, run_melstack


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with 60 training pictures of 8 patients."""
    return draw_clinic(tmp_path_factory.mktemp("drawn") / "mine", train=60, test=20, seed=0)


@pytest.fixture
def mine(clinic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the run of `melstack cases --folds 3` in a new current folder."""
    monkeypatch.chdir(tmp_path)
    assert run_melstack("cases", "--data", clinic, "--folds", "3").code == 0
    return Path("runs/mine")


def settings(run: Path) -> dict[str, object]:
    """Return the content of the run's settings file."""
    return tomllib.loads((run / "run.toml").read_text(encoding="utf-8"))


def test_the_first_command_writes_its_settings_and_later_ones_take_them(mine: Path, clinic: Path) -> None:
    first = settings(mine)
    assert first == {"data": str(clinic.resolve()), "folds": 3, "official_folds": False, "fold_seed": 0}
    content = (mine / "run.toml").read_bytes()
    output = run_melstack("cases", "--run", mine)
    assert output.code == 0
    assert "settings of runs/mine/run.toml: folds 3" in output.out
    assert (mine / "run.toml").read_bytes() == content


def test_a_setting_that_cannot_change_is_said_refused_and_not_written(mine: Path) -> None:
    for words in (["--folds", "4"], ["--reset", "folds"]):
        output = run_melstack("cases", "--run", mine, *words)
        assert output.code == 2
        assert f"folds: 3 -> {4 if words[0] == '--folds' else 5}" in output.out
    assert settings(mine)["folds"] == 3


def test_two_data_folders_of_one_name_do_not_share_a_run(mine: Path, tmp_path: Path) -> None:
    other = draw_clinic(tmp_path / "elsewhere" / "mine", train=60, test=20, seed=1)
    for verb in ("cases", "report"):
        output = run_melstack(verb, "--data", other)
        assert output.code == 2
        assert "runs/mine: a run on" in output.err
        assert "--run runs/mine-2" in output.err


def test_a_data_folder_that_moved_is_found_where_the_command_says(mine: Path, clinic: Path, tmp_path: Path) -> None:
    import shutil

    copy = shutil.copytree(clinic, tmp_path / "copy")
    output = run_melstack("cases", "--data", copy, "--run", mine)
    assert output.code == 0, output.err
    assert f"data: {clinic.resolve()} -> {copy}" in output.out
    assert settings(mine)["data"] == str(copy)
    shutil.rmtree(copy)
    output = run_melstack("cases", "--run", mine)
    assert output.code == 0
    assert f"{copy} is not there; the frozen cases are used" in output.out


def test_a_file_written_by_hand_counts_and_keeps_its_comments(
    clinic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "hand"
    run.mkdir(parents=True)
    (run / "run.toml").write_text(f'# our trial\ndata = "{clinic}"\nfolds = 3  # few patients\nprevalence = 0.02\n')
    assert run_melstack("cases", "--run", run).code == 0
    text = (run / "run.toml").read_text()
    assert "# our trial" in text
    assert "folds = 3  # few patients" in text
    assert settings(run)["prevalence"] == 0.02


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("fold = 3", "unknown key 'fold'; did you mean 'folds'?"),
        ('folds = "3"', "folds = '3'"),
        ("folds = 1", "greater than or equal to 2"),
        ("prevalence = 2.0", "prevalence: 2 is not a share between 0 and 1"),
        ('devices = "gpu"', "devices: gpu is not one of"),
    ],
)
def test_a_wrong_line_is_refused_with_the_file_and_the_rule(mine: Path, line: str, message: str) -> None:
    (mine / "run.toml").write_text(line)
    output = run_melstack("report", "--run", mine)
    assert output.code == 2
    assert output.err.startswith("error: runs/mine/run.toml: ")
    assert message in output.err


def test_init_writes_every_setting_with_a_comment_and_what_the_folder_holds(
    clinic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_melstack("init", clinic).code == 0
    text = Path("runs/mine/run.toml").read_text()
    assert "# train.csv: 60 rows, columns 8 (image_name, patient_id," in text
    assert "# pictures of test: 20 in jpeg/test" in text
    assert tomllib.loads(text) == {"data": str(clinic.resolve())}
    lines = [line.removeprefix("# ") for line in text.splitlines() if " = " in line]
    lines_as_toml = tomllib.loads("\n".join(lines))
    assert set(lines_as_toml) > {"folds", "models", "recipe", "prevalence", "foreign", "deterministic"}
    again = run_melstack("init", clinic)
    assert (again.code, "is there already" in again.err) == (2, True)
    output = run_melstack("cases", "--data", clinic, "--folds", "3")
    assert (output.code, "folds: 5 -> 3" in output.out) == (0, True)
    text = Path("runs/mine/run.toml").read_text()
    assert "# number of folds (default: 5)\nfolds = 3\n" in text
    assert "# folds = " not in text
    assert "# our settings" not in text


def test_a_run_of_an_earlier_version_gives_the_settings_of_its_cases(mine: Path, clinic: Path) -> None:
    (mine / "run.toml").unlink()
    output = run_melstack("cases", "--run", mine)
    assert output.code == 0, output.err
    assert settings(mine)["folds"] == 3
    assert settings(mine)["data"] == str(clinic.resolve())


def test_a_changed_profile_frees_the_models_and_a_changed_folder_its_trust(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.toml").write_text('profile = "gpu"\nmodels = ["a"]\nforeign = "/one"\ntrust = ["x"]\n')
    values = {"profile": "laptop", "models": None, "foreign": Path("/two"), "trust": None}
    memory = recall(run, values, {"profile", "foreign"})
    assert memory.now == {"profile": "laptop", "foreign": "/two"}
    assert memory.changes() == [
        "profile: gpu -> laptop",
        "models: a -> all",
        "foreign: /one -> /two",
        "trust: x -> none",
    ]


def test_an_unknown_setting_to_reset_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputFault, match=r"--reset model: not a setting of a run; did you mean 'models'\?"):
        recall(tmp_path, {}, [], ["model"])


def test_predict_takes_the_data_of_the_run(mine: Path, clinic: Path) -> None:
    output: Output = run_melstack("predict", "--run", mine)
    assert output.code == 2
    assert "bundle" in output.err


def test_too_few_folds_for_a_stack_are_refused_before_level_one(clinic: Path, tmp_path: Path) -> None:
    output = run_melstack("submission", "--data", clinic, "--run", tmp_path / "two", "--folds", "2")
    assert (output.code, "needs at least 3" in output.err) == (2, True)
    assert not (tmp_path / "two" / "level1").exists()


def test_a_run_remembers_the_column_that_makes_its_folds(
    clinic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pandas as pd

    from runtime.run_folder import Run

    table = pd.read_csv(clinic / "train.csv", dtype=str)
    number = pd.factorize(table["patient_id"])[0]
    data = tmp_path / "data"
    data.mkdir()
    (data / "cases.toml").write_text('test = ""\n')
    table.assign(hospital=[f"h{each % 2}" for each in number]).to_csv(data / "train.csv", index=False)
    monkeypatch.chdir(tmp_path)
    assert run_melstack("cases", "--data", data, "--folds-by", "hospital").code == 0
    assert settings(tmp_path / "runs/data")["folds_by"] == "hospital"
    run = Run(tmp_path / "runs/data")
    assert run.facts()["fold_names"] == ["h0", "h1"]
    assert run.facts()["made_from"]["by"] == "hospital"
    output = run_melstack("cases", "--run", run.folder)
    assert output.code == 0
    assert "folds_by hospital" in output.out
    (run.folder / "run.toml").unlink()  # the case table says it too
    assert run_melstack("cases", "--run", run.folder).code == 0
    output = run_melstack("cases", "--run", run.folder, "--reset", "folds_by")
    assert output.code == 2
    assert "folds_by: hospital -> none" in output.out
