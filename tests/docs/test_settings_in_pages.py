"""Tests of the settings files and the Python in the pages: they are read by the code that reads a user's."""

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import melstack
from features.folder.layout import Layout
from level1_cnn.experiment import read_experiment
from level2_stack.recipe import read_recipe
from runtime.cluster.queue_settings import read_queue_settings
from runtime.settings import read_settings
from tests.sources import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# A word that only one kind of settings file has at the beginning of a line -> what reads such a file.
READERS: dict[str, Callable[[Path], object]] = {
    "backbone": read_experiment,
    r"train\b|test\b": lambda path: read_settings(path, Layout),
    "walltime": read_queue_settings,
    r"learners|repeats|\[thresholds\]": read_recipe,
}


def blocks(language: str) -> list[tuple[str, str]]:
    """Return the page and the content of every block of a language."""
    pattern = re.compile(rf"^```{language}\n(.*?)^```", re.DOTALL | re.MULTILINE)
    return [(path.stem, match) for path in PAGES for match in pattern.findall(path.read_text(encoding="utf-8"))]


TABLES = blocks("toml")
PROGRAMS = blocks("python")


def test_there_are_blocks_of_both_kinds() -> None:
    assert len(TABLES) > 6
    assert len(PROGRAMS) > 4


@pytest.mark.parametrize(("page", "text"), TABLES, ids=[page for page, _ in TABLES])
def test_a_settings_file_of_a_page_can_be_read(page: str, text: str, tmp_path: Path) -> None:
    readers = [read for word, read in READERS.items() if re.search(rf"^(?:{word})", text, re.MULTILINE)]
    assert len(readers) == 1, page
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    assert readers[0](file)


@pytest.mark.parametrize(("page", "text"), PROGRAMS, ids=[page for page, _ in PROGRAMS])
def test_the_python_of_a_page_is_valid_and_imports_names_that_exist(page: str, text: str) -> None:
    names = [
        alias.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom) and node.module == "melstack"
        for alias in node.names
    ]
    assert [name for name in names if not hasattr(melstack, name)] == []


def test_the_feature_block_of_the_how_to_page_keeps_the_contract(tmp_path: Path, monkeypatch) -> None:
    import pandas as pd

    from features import blocks as package
    from features.blocks import Sources, build_block

    [text] = [text for page, text in PROGRAMS if page == "add_block"]
    (tmp_path / "site_count.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    cases = pd.DataFrame(
        {"patient_id": ["p", "p", "p", "q"], "anatom_site_general_challenge": ["torso", "torso", None, "torso"]},
        index=pd.Index(["a", "b", "c", "d"], name="image_name"),
    )
    frame = build_block("site_count", cases, Sources())
    assert frame["pictures_of_site"].to_list() == [2, 2, 1, 1]
