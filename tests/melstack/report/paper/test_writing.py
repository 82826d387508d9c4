"""Tests of the paper's folder: all its files, what they say, what an earlier folder becomes, and refusals."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from melstack.report.paper.checklists import AUTHORS, GUIDELINES, METHODS, SECTION, checklist, read_guideline
from melstack.report.paper.methods import methods_text
from melstack.report.paper.writing import write_paper
from melstack.report.run_page.inputs import StackResults, read_stack
from melstack.report.stack_parts import PAPER_MARK
from runtime.errors import InputFault
from runtime.files import read_json, write_json
from runtime.provenance import find_damage
from runtime.run_folder import Run
from tests.melstack.report.written_runs import write_run
from tests.sources import ROOT

FIGURES = ("flow", "roc", "precision_recall", "calibration", "decision_curve", "models", "subgroups")
SECTIONS = ROOT / "melstack/report/run_page/templates/page.html"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_paper(write_run(tmp_path_factory.mktemp("runs") / "run", site="head_neck %"), "default")


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_in_all_formats_with_its_points(folder: Path, name: str) -> None:
    files = {suffix: folder / "figures" / f"{name}.{suffix}" for suffix in ("svg", "pdf", "png", "csv")}
    with Image.open(files["png"]) as picture:
        assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        low, high = picture.convert("L").getextrema()
        assert low < 100 < high
    assert files["pdf"].read_bytes().startswith(b"%PDF")
    assert "<text" in files["svg"].read_text("utf-8")  # texts stay texts
    assert len(pd.read_csv(files["csv"])) > 3


def test_the_list_of_files_names_every_figure_and_table(folder: Path) -> None:
    text = (folder / "README.md").read_text("utf-8")
    names = {
        f"{path.parent.name}/{path.stem}" for path in folder.rglob("*.csv") if path.parent.name in ("figures", "tables")
    }
    assert names <= set(re.findall(r"`([a-z]+/\w+)`", text))


def test_the_same_run_gives_the_same_bytes(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert write_paper(Run(folder.parent), "default") == folder
    texts_with_a_time = {folder / METHODS, folder / PAPER_MARK.name}
    changes = [path for path, content in before.items() if path.read_bytes() != content]
    assert set(changes) <= texts_with_a_time
    assert find_damage(folder / PAPER_MARK.name) == []
    assert sorted(path.name for path in folder.parent.glob("paper*")) == ["paper"]


def test_a_folder_that_somebody_edited_is_kept(folder: Path, tmp_path: Path, capsys) -> None:
    run = Run(tmp_path / "run")
    shutil.copytree(folder.parent, run.folder)
    methods = run.folder / "paper" / METHODS
    methods.write_text("my own words")
    write_paper(run, "default")
    (copy,) = run.folder.glob("paper-*")
    assert (copy / METHODS).read_text() == "my own words"
    assert methods.read_text("utf-8").startswith("# Methods")
    assert f"kept as {copy}" in capsys.readouterr().out


def test_a_stack_without_paired_tests_is_refused_by_the_name_of_the_file(run: Run) -> None:
    (run.level2 / "default" / "paired.csv").unlink()
    with pytest.raises(InputFault, match=r"paired\.csv: file not found; `melstack stack` writes it"):
        write_paper(run, "default")
    assert not (run.folder / "paper").exists()


def test_tables_of_an_earlier_version_are_named_together(run: Run) -> None:
    for name, column in (("metrics", "prevalence"), ("subgroups", "excess")):
        path = run.level2 / "default" / f"{name}.csv"
        pd.read_csv(path).drop(columns=column).to_csv(path, index=False)
    message = (
        r"2 faults\n.*metrics\.csv: no column prevalence: an earlier version.*\n.*subgroups\.csv: no column excess"
    )
    with pytest.raises(InputFault, match=message):
        write_paper(run, "default")


def test_what_changed_since_is_the_first_thing_that_a_reader_sees(run: Run) -> None:
    text = (write_paper(run, "default", ["code: 'a' -> 'b'"]) / "README.md").read_text("utf-8")
    assert text.index("out of date") < text.index("methods.md")
    assert "- code: 'a' -&gt; 'b'" in text


def test_the_methods_have_the_facts_of_the_run_and_escape_what_comes_from_data(stack: StackResults) -> None:
    text = methods_text(stack)
    positives = int(stack.y.sum())
    assert f"100 training pictures of 30 patients ({positives} malignant" in text
    row = stack.board.loc["choice"]
    assert f"AUC out of fold: {row['auc']:.4f} ({row['low']:.4f} to {row['high']:.4f})" in text
    assert "20 draws of patients" in text
    assert "The run has no leak audit." in text
    assert "The run has no record of its commands" in text
    assert not re.search(r"None|nan\b", text)


def test_the_methods_do_not_claim_tuning_networks_or_points_that_the_run_does_not_have(stack: StackResults) -> None:
    text = methods_text(stack)
    assert "did not tune" in text
    assert "shifted to a prevalence" not in text


@pytest.mark.parametrize("name", GUIDELINES)
def test_every_item_has_a_place_or_is_left_to_the_authors(name: str, folder: Path, stack: StackResults) -> None:
    table = checklist(name, stack, folder)
    for item, _, where, status, authors in table.rows:
        assert bool(where) != (status == AUTHORS), item
        assert status != "in part" or authors or "not there yet" in where, item


@pytest.mark.parametrize("name", GUIDELINES)
def test_the_places_of_a_guideline_exist_in_the_project(name: str, folder: Path) -> None:
    sections = set(SECTION.findall((folder / METHODS).read_text("utf-8")))
    ids = set(re.findall(r'\("(\w+)", "', SECTIONS.read_text("utf-8")))
    for place in (place for item in read_guideline(name).items for place in item.where):
        file, _, section = place.partition("#")
        assert file != METHODS or section in sections, place
        assert file != "report.html" or section in ids, place
        if file.startswith(("figures/", "tables/")) and file != "tables/operating_points":  # older stacks have none
            assert (folder / f"{file}.csv").is_file(), place


def test_guidelines_have_all_their_items_in_order() -> None:
    numbers = {name: [item.number for item in read_guideline(name).items] for name in GUIDELINES}
    assert numbers["claim"] == [str(number) for number in range(1, 45)]
    assert len(numbers["tripod_ai"]) == 52
    assert list(dict.fromkeys(int(re.sub(r"\D", "", number)) for number in numbers["tripod_ai"])) == list(range(1, 28))
    assert set(numbers["probast_ai"]) == {"D1", "D2", "D3", "D4", "E1", "E2", "E3", "E4", "A1", "A2", "A3"}


def test_a_place_that_is_missing_names_the_command_that_writes_it(folder: Path, stack: StackResults) -> None:
    rows = {row[0]: row for row in checklist("tripod_ai", stack, folder).rows}
    assert "report.html, section blocks (not there yet: melstack report writes it)" in rows["16"][2]
    assert rows["17"][3] == AUTHORS


def test_the_auc_without_networks_that_shift_is_in_every_text_that_has_the_other(run: Run) -> None:
    path = run.level2 / "default" / "decisions.json"
    smaller = {"networks": {"net_b": "it shifts"}, "auc": 0.61234, "low": 0.55, "high": 0.65, "gain": 0.01}
    write_json(path, read_json(path) | {"without_shift": smaller})
    folder = write_paper(run, "default")
    for name in ("README.md", METHODS, "tables/leaderboard.md", "tables/leaderboard.tex"):
        assert "0.6123 (0.5500 to 0.6500)" in (folder / name).read_text("utf-8"), name


@pytest.mark.parametrize(
    ("ways", "words"),
    [
        ({}, "into 5 folds. All pictures of a patient were in one fold"),
        ({"by": "hospital"}, "into 5 folds by the values of the column hospital."),
        ({"by_time": "year"}, "into 5 folds by blocks of time, from the column year."),
        ({"official": True}, "into 5 folds by the official patient groups of the contest."),
    ],
)
def test_the_methods_say_by_what_the_folds_were_made(run: Run, ways: dict[str, object], words: str) -> None:
    facts = read_json(run.cases_mark)
    names = [f"year {number}" for number in range(5)]
    write_json(run.cases_mark, facts | {"made_from": facts["made_from"] | ways, "fold_names": names})
    text = methods_text(read_stack(run, "default", ("paired",)))
    assert words in text
    assert ("the folds were balanced" in text) == (not ways)
