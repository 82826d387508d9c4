"""Tests of the page of results: it is written from its TOML file, and its figures can be measured again."""

import re
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as commands
from benchmarks.results_file import PAGE, ROOT, Reading, Result, read_results
from benchmarks.results_page import results_page
from benchmarks.results_run import measurable, measure_again, read_value, run_command
from level1_cnn.experiment import read_experiment
from level2_stack.recipe import read_recipe
from runtime.errors import InputFault

CONTENT = read_results()
RESULTS = CONTENT.all()


def test_the_page_is_the_one_that_the_file_gives() -> None:
    assert PAGE.read_text(encoding="utf-8") == results_page(CONTENT), "run `make results`"


def test_the_command_writes_the_page_and_measures_nothing(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("benchmarks.results_file.PAGE", tmp_path / "results.md")
    commands.results(only=None)
    assert (tmp_path / "results.md").read_text(encoding="utf-8") == results_page(CONTENT)
    assert capsys.readouterr().out.startswith(f"results: {len(RESULTS)} entries")


def test_every_result_is_on_the_page_with_its_command_and_its_text() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert len(RESULTS) > 60
    for result in RESULTS:
        entry = page.split(f"\n### {result.name}\n")[1].split("\n### ")[0]
        assert result.result.strip() in entry
        assert all(f"    {line}" in entry for line in (result.command or "").splitlines())


def test_a_value_that_is_read_again_is_the_one_in_the_text() -> None:
    readings = [(result, each) for result in RESULTS for each in result.read]
    assert len(readings) > 15
    texts = [
        (result.result + result.remark, each.label, {f"{each.value:g}", f"{each.value:.3f}"})
        for result, each in readings
    ]
    assert [label for text, label, numbers in texts if not any(number in text for number in numbers)] == []


def test_the_pages_quote_the_demo_as_the_results_do() -> None:
    [demo] = CONTENT.select(["demo-out-of-fold"])
    values = [f"{each.value:.4f}" for each in demo.read[:3]]
    names = ("README.md", "docs/tutorials/kaggle_entry.md", "docs/tutorials/defending_a_number.md")
    for name in names:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert re.findall(r"\(choice\): ([\d.]+) \[([\d.]+), ([\d.]+)\]", text) == [tuple(values)], name


def test_losers_stay_on_the_page() -> None:
    names = {result.name for result in RESULTS}
    assert {"external-in-one-head", "student", "early-exit", "autogluon", "blends"} <= names


def test_every_settings_file_of_a_command_exists_and_can_be_read_and_none_is_unused() -> None:
    names = {name for each in RESULTS for name in re.findall(r"benchmarks/settings/([\w.]+)", each.command or "")}
    files = sorted((ROOT / "benchmarks" / "settings").glob("*.toml"))
    assert names == {path.name for path in files}
    assert len(files) > 4
    for path in files:
        is_network = "backbone" in path.read_text(encoding="utf-8")
        assert read_experiment(path) if is_network else read_recipe(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "table.csv").write_text("name,auc\nchoice,0.9\nmean,\ntwice,1\ntwice,2\n", encoding="utf-8")
    (tmp_path / "study.json").write_text('{"figures": {"recall": 0.75, "text": "x"}, "list": [3]}', encoding="utf-8")
    return tmp_path


def reading(**values) -> Reading:
    return Reading(label="AUC", value=0.8, **values)


@pytest.mark.parametrize(
    ("values", "number"),
    [
        ({"file": "table.csv", "row": {"name": "choice"}, "column": "auc"}, 0.9),
        ({"file": "table.csv", "row": {"name": "mean"}, "column": "auc"}, None),
        ({"file": "table.csv", "row": {"name": "twice"}, "column": "auc"}, None),
        ({"file": "table.csv", "row": {"name": "choice"}, "column": "low"}, None),
        ({"file": "nothing.csv", "column": "auc"}, None),
        ({"file": "study.json", "key": "figures.recall"}, 0.75),
        ({"file": "study.json", "key": "list.0"}, 3.0),
        ({"file": "study.json", "key": "list.1"}, None),
        ({"file": "study.json", "key": "figures.text"}, None),
        ({"pattern": r"recall ([\d.,]+)"}, 1234.5),
        ({"pattern": r"precision ([\d.]+)"}, None),
    ],
)
def test_a_value_is_read_from_a_table_a_json_file_or_a_printed_line(root, values, number) -> None:
    assert read_value(reading(**values), ["recall 0.5\n", "the recall 1,234.5\n"], root) == number


@pytest.mark.parametrize(
    "values",
    [{}, {"file": "a.csv"}, {"file": "a.csv", "column": "x", "key": "y"}, {"pattern": "no group"}, {"column": "x"}],
)
def test_a_reading_has_exactly_one_source(values) -> None:
    with pytest.raises(ValueError, match="pattern"):
        reading(**values)


def result(**values) -> Result:
    return Result(**{"name": "an-auc", "what": "an AUC", "date": "2026-01-01", "result": "AUC 0.8"} | values)


def test_old_and_new_value_stand_beside_each_other(root, capsys) -> None:
    table = reading(file="table.csv", row={"name": "choice"}, column="auc")
    assert measure_again(
        [result(command="echo name,auc > table.csv; echo choice,0.85 >> table.csv", read=(table,))], root
    )
    row = next(line for line in capsys.readouterr().out.splitlines() if "0.8000" in line)
    assert [cell.strip() for cell in row.split("│")[1:-1]] == ["AUC", "0.8000", "0.8500", "+0.0500"]


def test_a_value_that_the_command_does_not_give_is_named_and_fails(root, capsys) -> None:
    assert not measure_again([result(command="true", read=(reading(pattern="AUC (.+)"),))], root)
    assert "not there" in capsys.readouterr().out


def test_the_command_uses_this_python_and_its_failure_ends_the_comparison(root, capsys) -> None:

    assert not measure_again(
        [result(command="python -c 'import sys; print(sys.prefix); sys.exit(3)'\ntouch later")], root
    )
    output = capsys.readouterr().out
    assert sys.prefix in output
    assert "exit code 3" in output
    assert not (root / "later").exists()


def test_a_make_within_a_command_does_not_get_the_words_of_the_outer_one(root, monkeypatch) -> None:
    (root / "Makefile").write_text("inner:\n\t@echo only is [$(ONLY)]\n", encoding="utf-8")
    monkeypatch.setenv("MAKEFLAGS", " -- ONLY=an-auc")
    monkeypatch.setenv("ONLY", "an-auc")
    assert run_command("make inner", root) == (0, ["only is []\n"])


def test_without_values_to_read_the_stated_result_is_printed_below(root, capsys) -> None:
    assert measure_again([result(command="echo 0.79")], root)
    assert capsys.readouterr().out.splitlines()[-1] == "AUC 0.8"


def test_what_is_missing_is_said_before_any_command_runs(root) -> None:
    lacking = [result(command="touch here"), result(command="true", needs=("siim_mini",)), result()]
    with pytest.raises(InputFault) as error:
        measure_again(lacking, root)
    assert "an-auc: needs the folder siim_mini" in str(error.value)
    assert "an-auc: has no command" in str(error.value)
    assert not (root / "here").exists()


def test_of_all_results_those_without_their_data_are_left_out_and_named(root, capsys) -> None:
    possible, lacking = result(command="true", needs=("study.json",)), result(command="true", needs=("siim_mini",))
    assert measurable([possible, lacking, result()], root) == [possible]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("left out: an-auc: needs the folder siim_mini")


def test_names_choose_results_and_all_is_every_one_with_a_command() -> None:
    assert [each.name for each in CONTENT.select(["student", "int8"])] == ["student", "int8"]
    assert CONTENT.select(["all"]) == RESULTS
    with pytest.raises(InputFault, match="did you mean 'student'"):
        CONTENT.select(["studnt"])


def test_a_repeated_name_and_an_unknown_key_are_refused(tmp_path) -> None:
    entry = '[[sections.results]]\nname = "a"\nwhat = "b"\ndate = "2026-01-01"\nresult = "c"\n'
    file = tmp_path / "results.toml"
    file.write_text('introduction = ""\n[[sections]]\ntitle = "t"\ntext = "x"\n' + 2 * entry, encoding="utf-8")
    with pytest.raises(InputFault, match="names of several results: a"):
        read_results(file)
    file.write_text(file.read_text(encoding="utf-8") + 'reslt = "c"\n', encoding="utf-8")
    with pytest.raises(InputFault, match="did you mean 'result'"):
        read_results(file)
