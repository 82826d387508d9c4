"""Tests of the house itself: who may import whom, what names say nothing, that every module says what it is for."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("features", "level1_cnn", "level2_stack", "bundle")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
ARROWS = {
    ("level1_cnn", "features"),
    ("level2_stack", "features"),
    *(("bundle", below) for below in ("features", "level1_cnn", "level2_stack")),
}
ONLY_IN = {
    "tensorflow": "level1_cnn/",
    "keras": "level1_cnn/",
    "efficientnet": "level1_cnn/",
    "onnxruntime": "level1_cnn/",
    "lightgbm": "level2_stack/learners/lgbm.py",
    "xgboost": "level2_stack/learners/xgb.py",
    "catboost": "level2_stack/learners/catboost.py",
    "optuna": "features/trials.py",
}
SAY_NOTHING = {"utils", "helpers", "common", "misc", "base", "core", "manager"}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def where(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=where)
def test_imports_follow_the_two_arrows(path: Path) -> None:
    package = where(path).split("/")[0]
    others = imported(path) & set(PACKAGES) - {package}
    assert {(package, other) for other in others} <= ARROWS


@pytest.mark.parametrize("path", MODULES, ids=where)
def test_a_library_is_imported_only_where_it_belongs(path: Path) -> None:
    strays = {name for name in imported(path) & ONLY_IN.keys() if not where(path).startswith(ONLY_IN[name])}
    assert not strays


@pytest.mark.parametrize("path", MODULES, ids=where)
def test_a_module_says_in_one_docstring_what_it_is_for_and_its_name_says_something(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert path.stem not in SAY_NOTHING


def test_the_ground_and_level_two_start_without_tensorflow_or_a_booster() -> None:
    """A fresh run is seen in a second only if the commands import nothing heavy before they need it."""
    import subprocess
    import sys

    code = (
        "import sys; import features.__main__, level1_cnn.__main__, level2_stack.__main__; "
        "print([name for name in ('tensorflow', 'keras', 'lightgbm', 'xgboost', 'sklearn') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
