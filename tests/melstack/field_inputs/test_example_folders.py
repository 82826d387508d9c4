"""Tests of the section "Example folders" of docs/field_inputs.md, if FIELD_EXAMPLES names the folder of them."""

import os
import re
from pathlib import Path

import pytest

from tests.command_line import run_melstack
from tests.melstack.field_inputs.situation import PAGE
from tests.tiny_project import RECIPE, FinishedRun

ROW = re.compile(
    r"^\| `(?P<name>[0-9a-z_-]+)` \| `(?P<verb>cases|predict|stack)(?P<mapping>[^`]*)` "
    r"\| (?P<code>[0-9]) \| (?P<sentence>.*) \|$"
)
EXAMPLES = Path(os.environ.get("FIELD_EXAMPLES", "none"))
ROWS = [row for line in PAGE.read_text(encoding="utf-8").splitlines() if (row := ROW.match(line))]


def words(row: re.Match[str], tmp_path: Path, bundle: Path) -> list[object]:
    """Return the words of the command of ``row``; a third word of it is the mapping."""
    example, run = EXAMPLES / row["name"], tmp_path / "run"
    if row["verb"] == "predict":
        return ["predict", "--bundle", bundle, "--data", example, "--out", tmp_path / "out"]
    if row["verb"] == "stack":
        (tmp_path / "quick.toml").write_text(RECIPE)
        cases = ["--data", EXAMPLES / "foreign_cases", "--recipe", tmp_path / "quick.toml"]
        return ["stack", *cases, "--foreign", example, "--run", run]
    mapping = ["--mapping", example / row["mapping"].strip()] if row["mapping"] else []
    return ["cases", "--data", example, "--run", run, *mapping]


@pytest.mark.full
@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="FIELD_EXAMPLES names no folder")
@pytest.mark.parametrize("row", ROWS, ids=[f"{row['name']}{row['mapping'].replace(' ', '-')}" for row in ROWS])
def test_an_example_folder_ends_as_the_page_says(row: re.Match[str], tmp_path: Path, finished_run: FinishedRun) -> None:
    output = run_melstack(*words(row, tmp_path, finished_run.run.folder / "bundle"))
    log = tmp_path / "run" / "log.txt"
    output_text = f"{output.out}{output.err}{log.read_text() if log.is_file() else ''}"
    text = " ".join(output_text.split())
    sentences = re.findall(r"`([^`]+)`", row["sentence"])
    assert (output.code, [sentence for sentence in sentences if sentence not in text]) == (int(row["code"]), []), text


def test_every_row_of_the_section_quotes_what_is_said() -> None:
    assert len(ROWS) >= 30
    assert [row["name"] for row in ROWS if not re.search(r"`[^`]{8,}`", row["sentence"])] == []
