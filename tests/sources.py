"""The source files that rules over all of them read: where they are, and their syntax trees."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FLOORS = {"runtime": 0, "features": 1, "level1_cnn": 2, "level2_stack": 2, "melstack": 3, "benchmarks": 4}
MODULES = sorted(path for package in FLOORS for path in (ROOT / package).rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    """Return the syntax tree of a module, read once for all rules."""
    return ast.parse(path.read_text(encoding="utf-8"))


def where(path: Path) -> str:
    """Return the path of a module from the root, as the rules name it."""
    return path.relative_to(ROOT).as_posix()
