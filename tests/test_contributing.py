"""Tests of CONTRIBUTING.md: its tree is that of the project."""

import ast
import re

from tests.sources import MODULES, ROOT, tree_of

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_every_folder_stands_in_the_tree_with_its_caption() -> None:
    lacking = []
    for path in MODULES:
        if path.name == "__init__.py":
            caption = (ast.get_docstring(tree_of(path)) or "").split("\n")[0]
            line = rf"^ *{path.parent.name}/ +{re.escape(caption)}$"
            lacking += [] if re.search(line, PAGE, re.MULTILINE) else [path.parent.name]
    assert lacking == []
