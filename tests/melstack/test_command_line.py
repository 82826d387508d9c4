"""Tests of the command line: help, options, what make passes on, and the table of docs/command_line.md."""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
import typer

from benchmarks import __main__ as speed
from melstack.cli import ORDER, build_app
from melstack.make_words import arguments_of, options_of
from melstack.options import split_names
from runtime.errors import InputFault
from runtime.invocation import TYPED_BY, command, option
from tests.command_line import run_melstack
from tests.sources import ROOT

APP = typer.main.get_command(build_app())
PAGE = (ROOT / "docs" / "command_line.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `+(make .+?)`+ \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def test_help_lists_every_command_in_one_of_three_groups() -> None:
    output = run_melstack("--help")
    assert output.code == 0
    titles = [output.out.index(f"─ {title} ─") for title in ("Daily", "Looking closer", "Maintaining")]
    assert titles == sorted(titles)
    assert [verb for verb in ORDER if f"│ {verb} " not in output.out] == []
    assert sorted(ORDER) == sorted(APP.commands)


@pytest.mark.parametrize("verb", ORDER)
def test_h_explains_a_command_with_an_example_that_can_be_typed(verb: str) -> None:
    output = run_melstack(verb, "-h")
    assert output.code == 0
    example = re.search(r"Example: melstack (.+)", APP.commands[verb].epilog or "")
    assert example
    assert "Example: melstack" in output.out
    variables = shlex.split(example[1])
    assert variables[0] == verb
    APP.commands[verb].make_context(verb, variables[1:])


def test_an_option_has_a_sentence_of_help() -> None:
    lacking = [f"{verb} {one.name}" for verb in ORDER for one in APP.commands[verb].params if not one.help]
    assert lacking == []


@pytest.mark.full
@pytest.mark.parametrize("line", [["--help"], ["stack", "--help"]])
def test_help_imports_neither_tensorflow_nor_pandas(line: list[str]) -> None:
    code = f"""
import sys
from melstack.cli import main
sys.argv = ["melstack", *{line}]
try:
    main()
except SystemExit:
    print({{"tensorflow", "pandas", "numpy", "sklearn", "lightgbm"}} & sys.modules.keys())
"""
    output = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert output.stdout.splitlines()[-1] == "set()"


def test_the_makefile_knows_every_option_and_no_other() -> None:
    settings = re.search(r"^SETTINGS := ((?:.*\\\n)*.*)$", MAKEFILE, re.MULTILINE)
    assert settings
    trials = typer.main.get_command(speed.app)
    names = {name for verb in APP.commands for name in options_of(APP, verb)}
    names |= {name for verb in trials.commands if f" {verb}" in MAKEFILE for name in options_of(trials, verb)}
    assert set(settings[1].replace("\\\n", " ").split()) == names


def test_the_makefile_has_a_target_for_every_command() -> None:
    targets = re.findall(r"^([a-z-]+): ##", MAKEFILE, re.MULTILINE)
    assert set(ORDER) <= set(targets)


@pytest.mark.parametrize(
    ("variables", "options"),
    [
        (["DATA=a b"], ["--data=a b"]),
        (["DATA=-x", "FOLDS=3"], ["--data=-x", "--folds=3"]),
        (["OFFICIAL_FOLDS=1"], ["--official-folds"]),
        (["OFFICIAL_FOLDS=0"], ["--reset", "official_folds"]),
        (["EXTRA=a b"], ["--extra=a b"]),
    ],
)
def test_a_variable_of_make_is_the_option_of_its_name(variables: list[str], options: list[str]) -> None:
    assert arguments_of(["cases", *variables], APP, ["cases"]) == ["cases", *options]


def test_a_home_folder_is_found_although_the_shell_leaves_it_alone() -> None:
    for words in (["--data", "~/mine"], ["--data=~/mine"]):
        output = run_melstack("cases", *words)
        assert f"{Path.home() / 'mine'}: the data folder does not exist" in output.err


def test_a_variable_of_another_target_of_the_call_is_left_to_it() -> None:
    assert arguments_of(["eda", "PROFILE=gpu"], APP, ["oof", "eda"]) == ["eda"]
    assert arguments_of(["eda", "PROFILE=gpu"], APP, ["oof", "test"]) == ["eda"]
    with pytest.raises(InputFault, match=r"PROFILE=\.\.\. has no effect on `make eda`"):
        arguments_of(["eda", "PROFILE=gpu"], APP, ["cases", "eda"])


def test_a_variable_of_the_environment_counts_and_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RUN", "runs/mine")
    monkeypatch.setenv("HOST", "laptop")
    assert arguments_of(["serve"], APP, ["serve"]) == ["serve", "--run=runs/mine"]
    assert capsys.readouterr().err == "RUN=runs/mine: taken from the environment\n"
    assert arguments_of(["serve", "RUN=runs/other"], APP, ["serve"]) == ["serve", "--run=runs/other"]


@pytest.mark.parametrize("words", [["--data", ""], ["--data="], ["--folds", "3", "--run", ""]])
def test_an_empty_value_is_refused(words: list[str]) -> None:
    output = run_melstack("cases", *words)
    assert output.code == 2
    assert ": empty; give a value, or leave the option out" in output.err
    with pytest.raises(InputFault, match="DATA: empty"):
        arguments_of(["cases", "DATA="], APP, ["cases"])


def test_the_version_is_printed() -> None:
    assert run_melstack("--version").out == f"melstack {metadata.version('melstack')}\n"


def test_a_run_is_refused_where_its_files_would_be_among_data_or_other_runs(tmp_path: Path) -> None:
    (tmp_path / "runs" / "one").mkdir(parents=True)
    (tmp_path / "runs" / "one" / "cases.json").touch()
    for run in (tmp_path / "data", tmp_path, tmp_path / "runs"):
        output = run_melstack("cases", "--data", tmp_path / "data", "--run", run)
        assert output.code == 2
        assert f"{run}: holds data or other runs" in output.err


def test_the_demo_that_exists_is_used_unless_another_size_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    size = ["--clinic-train", 60, "--clinic-test", 20]
    assert run_melstack("cases", "--folds", 2, *size).code == 0
    assert "cases: fresh" in run_melstack("cases", "--folds", 2).out
    refused = run_melstack("cases", "--folds", 2, "--clinic-train", 61)
    assert refused.code == 2
    assert "the folder holds the clinic train=60" in refused.err


def test_options_among_the_words_stay_as_they_are() -> None:
    assert arguments_of(["cases", "--folds", "3", "DATA=x"], APP, ["cases"]) == ["cases", "--data=x", "--folds", "3"]


def test_several_values_are_divided_at_blanks_but_a_path_that_exists_is_one(tmp_path: Path) -> None:
    (tmp_path / "it's mine").mkdir()
    assert split_names(["a b", "c"]) == ["a", "b", "c"]
    assert split_names([str(tmp_path / "it's mine"), "'d e' f"]) == [str(tmp_path / "it's mine"), "d e", "f"]
    with pytest.raises(InputFault, match="No closing quotation"):
        split_names(["it's not there"])


def test_messages_name_the_next_command_as_the_user_typed_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TYPED_BY, raising=False)
    assert command("stack", recipe="a b") == "`melstack stack --recipe 'a b'`"
    assert option("foreign", "folder") == "--foreign folder"
    monkeypatch.setenv(TYPED_BY, "make")
    assert command("stack", free_disk=5) == "`make stack FREE_DISK=5`"
    assert option("deterministic", True) == "DETERMINISTIC=1"


def test_a_missing_extra_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def lacking(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'fastapi'", name="fastapi")

    monkeypatch.setattr("melstack.commands.bundle.BundleOptions.data_folder", property(lacking))
    output = run_melstack("predict", "--run", tmp_path)
    assert output.code == 2
    assert "pip install 'melstack[predict]'" in output.err


def test_a_run_that_does_not_exist_is_not_begun(tmp_path: Path) -> None:
    output = run_melstack("submission", "--run", tmp_path / "typo")
    assert output.code == 2
    assert f"{tmp_path / 'typo'}: no such run; to begin one, --data folder" in output.err
    assert not (tmp_path / "typo").exists()


@pytest.mark.parametrize("name", ["features", "runtime"])
def test_a_package_that_hides_ours_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    for line, code in ((["-c", "from melstack import Bundle"], 1), (["-m", "melstack", "-h"], 2)):
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
        output = subprocess.run(
            [sys.executable, *line], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert output.returncode == code
        assert f"{tmp_path / name / '__init__.py'} hides a package of melstack, {ROOT / name}" in output.stderr


def test_the_library_has_its_three_names() -> None:
    from melstack import Bundle, NestedStackingClassifier, import_predictions

    assert Bundle.__name__ == "Bundle"
    assert NestedStackingClassifier.__name__ == "NestedStackingClassifier"
    assert import_predictions.__name__ == "import_predictions"
    with pytest.raises(ImportError, match="cannot import name 'Nothing'"):
        from melstack import Nothing  # noqa: F401


@dataclass(frozen=True)
class Row:
    """A row of the page: the words of the line, and a part of the output."""

    words: list[str]
    message: str

    @classmethod
    def read(cls, line: str, outcome: str, folder: Path) -> "Row":
        """Return the row of ``line``; a file that it names by relative path is made in ``folder``."""
        words_of_line = shlex.split(line.replace(r"\|", "|"))
        name, _, value = words_of_line[2].partition("=")
        if outcome == "the path":
            return cls(words_of_line, f"{value}: the data folder does not exist")
        message = re.fullmatch(r"`+ ?(.+?) ?`+", outcome)
        if outcome == f"`{value}`":
            path = folder / value
            path.mkdir() if name == "EXTRA" else path.write_text("unknown = 1")
            return cls([*words_of_line[:2], f"{name}={path}", f"RUN={folder / 'run'}", f"DATA={folder}"], value)
        return cls(words_of_line, message[1] if message else "")


def test_the_page_has_at_least_thirty_rows() -> None:
    assert len(ROWS) >= 30


@pytest.mark.full
@pytest.mark.parametrize(("line", "before", "outcome"), ROWS, ids=[row[0] for row in ROWS])
def test_difficult_input_has_the_outcome_that_the_page_gives(
    line: str, before: str, outcome: str, tmp_path: Path
) -> None:
    if outcome == "not deterministic":
        assert arguments_of(["oof", "DETERMINISTIC=0"], APP, ["oof"]) == ["oof", "--reset", "deterministic"]
        return
    row = Row.read(line, outcome, tmp_path)
    call = ["make", "--no-print-directory", *row.words[1:]]
    output = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert output.returncode == 2
    text = " ".join((output.stdout + output.stderr).replace("│", " ").split())
    assert row.message
    assert " ".join(row.message.split()) in text
    assert not (ROOT / "x").exists()


@pytest.mark.full
def test_predict_and_serve_import_nothing_that_only_unix_has() -> None:
    modules = (
        "melstack.cli",
        "melstack.commands.bundle",
        "melstack.bundle.predicting",
        "melstack.bundle.serving.application",
    )
    code = f"""
import importlib, sys
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
for name in {modules}:
    importlib.import_module(name)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_system_without_flock_is_refused_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("runtime.folder_lock.fcntl", None)
    output = run_melstack("cases", "--data", tmp_path, "--run", tmp_path / "run")
    assert output.code == 2
    assert "on Windows use WSL" in output.err
    assert not (tmp_path / "run").exists()
