"""Tests of examples/: the settings files are accepted, and those of public sets say what melstack knows of the set."""

import json
import tomllib

import pytest

from features.folder.layout import Layout
from features.folder.public_sets import recognise
from level1_cnn.experiment import find_experiments
from melstack.run_settings import MODEL
from runtime.settings import read_settings
from tests.sources import ROOT

EXAMPLES = ROOT / "examples"
CASES = sorted((EXAMPLES / "cases").glob("*.toml"))
PUBLIC = sorted((EXAMPLES / "cases").glob("[!o]*.toml"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_mapping_is_accepted(path) -> None:
    layout = read_settings(path, Layout)
    assert layout.train != Layout().train


@pytest.mark.parametrize("path", PUBLIC, ids=lambda path: path.stem)
def test_the_mapping_of_a_public_set_is_the_one_that_melstack_has(path) -> None:
    folder = ROOT / "features/folder/public_sets"
    own = read_settings(folder / path.name, recognise.PublicSet).layout
    example = read_settings(path, Layout)
    for name in ("columns", "positive", "negative", "drop", "subfolders"):
        assert getattr(example, name) == getattr(own, name), name


def test_the_entry_of_a_contest_has_settings_and_models_that_exist() -> None:
    values = tomllib.loads((EXAMPLES / "contest_entry.toml").read_text(encoding="utf-8"))
    settings = read_settings(EXAMPLES / "contest_entry.toml", MODEL)
    assert {name for name, value in settings if value is not None} == values.keys()
    assert len(find_experiments(values["profile"], values["models"])) == 4


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_results_and_its_code_is_python(path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 4
    assert [cell["outputs"] for cell in code] == [[]] * len(code)
    for cell in code:
        compile("".join(cell["source"]), path.name, "exec")
