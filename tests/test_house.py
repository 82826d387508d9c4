"""Tests of the house itself: who may import whom, what names say nothing, that every module says what it is for."""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.sources import FLOORS, MODULES, ROOT, tree_of, where

# Where a library may be imported: below one of these paths.
ONLY_IN = {
    "tensorflow": ("level1_cnn/", "benchmarks/"),
    "keras": ("level1_cnn/", "benchmarks/"),
    "efficientnet": ("level1_cnn/", "benchmarks/"),
    "onnxruntime": ("level1_cnn/", "benchmarks/"),
    "lightgbm": ("level2_stack/learners/lgbm.py",),
    "xgboost": ("level2_stack/learners/xgb.py",),
    "catboost": ("level2_stack/learners/catboost.py",),
    "optuna": ("runtime/trials.py",),
}
SAY_NOTHING = {"utils", "helpers", "common", "misc", "base", "core", "manager"}
MOST_FILES = 16  # directly in a folder; a fuller one has become two rooms


def dotted(path: Path) -> str:
    """Return the name under which a module is imported."""
    name = where(path).removesuffix(".py").replace("/", ".")
    return name.removesuffix(".__init__")


def imports_of(path: Path) -> Iterator[str]:
    """Yield the dotted names that a module imports, within functions as well, but for those of types alone."""
    nodes = list(ast.walk(tree_of(path)))
    of_types = [node for node in nodes if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    skipped = {id(inner) for node in of_types for inner in ast.walk(node)}
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level and id(node) not in skipped:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def every_import_of(path: Path) -> set[str]:
    """Return the packages that a module names in any import, those of types included."""
    names = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_imports_go_down_the_floors_and_the_two_levels_do_not_meet() -> None:
    arrows = {(where(path), other) for path in MODULES for other in every_import_of(path) & FLOORS.keys()}
    strays = [
        f"{path} imports {other}"
        for path, other in sorted(arrows)
        if other != path.split("/")[0] and FLOORS[other] >= FLOORS[path.split("/")[0]]
    ]
    assert strays == []


def test_no_circle_of_imports_hides_anywhere() -> None:
    known = {dotted(path): path for path in MODULES}

    def module_of(name: str) -> str:
        while name and name not in known:
            name = name.rpartition(".")[0]
        return name

    graph: dict[str, set[str]] = {}
    for name, path in known.items():
        found = {module_of(other) for other in imports_of(path)} - {""}
        graph[name] = {other for other in found if not f"{name}.".startswith(f"{other}.")}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        raise AssertionError(f"a circle of imports: {' -> '.join(circle.args[1])}") from None


def test_a_library_is_imported_only_where_it_belongs() -> None:
    strays = [
        f"{where(path)} imports {name}"
        for path in MODULES
        for name in sorted(every_import_of(path) & ONLY_IN.keys())
        if not where(path).startswith(ONLY_IN[name])
    ]
    assert strays == []


def test_a_module_says_in_one_docstring_what_it_is_for_and_its_name_says_something() -> None:
    assert [where(path) for path in MODULES if not ast.get_docstring(tree_of(path))] == []
    assert [where(path) for path in MODULES if path.stem in SAY_NOTHING] == []


def test_no_folder_has_become_two_rooms() -> None:
    counts = Counter(where(path.parent) for path in MODULES if path.name != "__init__.py")
    assert {folder: count for folder, count in counts.items() if count > MOST_FILES} == {}


def test_no_test_file_imports_another_one() -> None:
    """What several files need stands in a conftest.py, or in a module beside them that is no test."""
    files = sorted((ROOT / "tests").rglob("*.py"))
    strays = [
        f"{where(path)} imports {name}"
        for path in files
        for name in imports_of(path)
        if name.startswith("tests.") and any(part.startswith("test_") for part in name.split("."))
    ]
    assert len(files) > 100
    assert strays == []


# What starts in a second imports nothing of this before it needs it, and nothing that an extra brings.
LIGHT = {
    **dict.fromkeys(
        [f"melstack.{room}_commands" for room in ("data", "level1", "level2", "plan", "bundle")],
        {"tensorflow", "keras", "lightgbm", "xgboost", "sklearn", "pandas", "numpy", "dask", "distributed", "fastapi"},
    ),
    "melstack.bundle.loading": {"tensorflow", "keras", "optuna", "efficientnet", "dask", "distributed"},
    "melstack.bundle.predicting": {"tensorflow", "keras", "optuna", "efficientnet", "dask", "distributed"},
}


@pytest.mark.full
@pytest.mark.parametrize("module", LIGHT)
def test_what_starts_in_a_second_imports_nothing_heavy(module: str) -> None:
    code = f"import sys; import {module}; print({LIGHT[module]} & sys.modules.keys())"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"


def test_what_starts_in_a_second_names_nothing_heavy_outside_a_function() -> None:
    known = {dotted(path): path for path in MODULES}
    for start, heavy in LIGHT.items():
        waiting = [start]
        for name in waiting:
            body = tree_of(known[name]).body
            tried = [inner for node in body if isinstance(node, ast.Try) for inner in node.body]
            tops = [node for node in [*body, *tried] if isinstance(node, ast.Import | ast.ImportFrom)]
            named = {alias.name for node in tops if isinstance(node, ast.Import) for alias in node.names}
            for node in tops:
                if isinstance(node, ast.ImportFrom) and node.module:
                    named |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            assert not {one.split(".")[0] for one in named} & heavy, f"{start} imports {name}, and that {named}"
            waiting += sorted((named & known.keys()) - set(waiting))
        assert len(waiting) >= 5
