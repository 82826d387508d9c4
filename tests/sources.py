"""The source files that tests of all modules read: their paths and their syntax trees."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Package -> layer; a module may only import packages of lower layers.
LAYERS = {"runtime": 0, "features": 1, "level1_cnn": 2, "level2_stack": 2, "melstack": 3, "benchmarks": 4}
MODULES = sorted(path for package in LAYERS for path in (ROOT / package).rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    """Return the syntax tree of a module; every module is parsed once."""
    return ast.parse(path.read_text(encoding="utf-8"))


def where(path: Path) -> str:
    """Return the path of a module relative to the root, with slashes."""
    return path.relative_to(ROOT).as_posix()
