"""Tests of README.md: its tree and its commands are those of the project."""

import ast
import re

from tests.sources import MODULES, ROOT, tree_of

README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def test_every_folder_stands_in_the_tree_with_its_caption() -> None:
    lacking = []
    for path in MODULES:
        if path.name == "__init__.py":
            caption = (ast.get_docstring(tree_of(path)) or "").split("\n")[0]
            line = rf"^ *{path.parent.name}/ +{re.escape(caption)}$"
            lacking += [] if re.search(line, README, re.MULTILINE) else [path.parent.name]
    assert lacking == []


def test_every_make_target_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    mentions = set(re.findall(r"make ([a-z][a-z-]+)", README)) | set(re.findall(r"`make ([a-z][a-z-]+)", README))
    assert len(mentions) > 8
    assert mentions <= targets | {"removes"}


def test_every_setting_it_passes_to_make_is_one_the_makefile_reads() -> None:
    lists = re.findall(r"^(?:SETTINGS|OF_MAKE) := ((?:.*\\\n)*.*)$", MAKEFILE, re.MULTILINE)
    settings = set(" ".join(lists).replace("\\\n", " ").split())
    assert set(re.findall(r"\b([A-Z_]{2,})=", README)) <= settings | {"NAME"}
