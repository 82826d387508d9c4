"""Tests of the structure of the code: permitted imports, file names, docstrings, sizes of folders."""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.sources import LAYERS, MODULES, ROOT, tree_of, where

# Library -> the only paths that may import it.
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
VAGUE_NAMES = {"utils", "helpers", "common", "misc", "base", "core", "manager"}
MAX_FILES = 16  # directly in a folder; split a larger one


def module_name(path: Path) -> str:
    """Return the dotted name under which a module is imported."""
    name = where(path).removesuffix(".py").replace("/", ".")
    return name.removesuffix(".__init__")


def imports_of(path: Path) -> Iterator[str]:
    """Yield the dotted names that a module imports, also within functions, but not under TYPE_CHECKING."""
    nodes = list(ast.walk(tree_of(path)))
    type_blocks = [node for node in nodes if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    type_nodes = {id(inner) for node in type_blocks for inner in ast.walk(node)}
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level and id(node) not in type_nodes:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def packages_in(path: Path) -> set[str]:
    """Return the packages that a module imports anywhere, also under TYPE_CHECKING."""
    names = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_imports_only_go_to_lower_layers_and_the_two_levels_do_not_import_each_other() -> None:
    imports = {(where(path), other) for path in MODULES for other in packages_in(path) & LAYERS.keys()}
    violations = [
        f"{path} imports {other}"
        for path, other in sorted(imports)
        if other != path.split("/")[0] and LAYERS[other] >= LAYERS[path.split("/")[0]]
    ]
    assert violations == []


def test_there_are_no_circular_imports() -> None:
    modules = {module_name(path): path for path in MODULES}

    def module_of(name: str) -> str:
        while name and name not in modules:
            name = name.rpartition(".")[0]
        return name

    graph: dict[str, set[str]] = {}
    for name, path in modules.items():
        imports = {module_of(other) for other in imports_of(path)} - {""}
        graph[name] = {other for other in imports if not f"{name}.".startswith(f"{other}.")}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(f"circular import: {' -> '.join(error.args[1])}") from None


def test_a_library_is_imported_only_in_its_own_files() -> None:
    violations = [
        f"{where(path)} imports {name}"
        for path in MODULES
        for name in sorted(packages_in(path) & ONLY_IN.keys())
        if not where(path).startswith(ONLY_IN[name])
    ]
    assert violations == []


def test_every_module_has_a_docstring_and_a_meaningful_name() -> None:
    assert [where(path) for path in MODULES if not ast.get_docstring(tree_of(path))] == []
    assert [where(path) for path in MODULES if path.stem in VAGUE_NAMES] == []


def test_no_folder_has_too_many_files() -> None:
    counts = Counter(where(path.parent) for path in MODULES if path.name != "__init__.py")
    assert {folder: count for folder, count in counts.items() if count > MAX_FILES} == {}


def test_no_test_file_imports_another_one() -> None:
    """Code that several test files need belongs into a conftest.py or a module that is not a test file."""
    files = sorted((ROOT / "tests").rglob("*.py"))
    violations = [
        f"{where(path)} imports {name}"
        for path in files
        for name in imports_of(path)
        if name.startswith("tests.") and any(part.startswith("test_") for part in name.split("."))
    ]
    assert len(files) > 100
    assert violations == []


# Module that must start within a second -> libraries that it must not import at its start, because they are slow or
# belong to an extra that may not be installed.
GROUPS = ("data", "level1", "level2", "blend", "plan", "report", "bundle", "batch")
COMMAND_MODULES = [f"melstack.commands.{group}" for group in GROUPS]
SLOW = frozenset(
    ["tensorflow", "keras", "lightgbm", "xgboost", "sklearn", "pandas", "numpy", "dask", "distributed", "fastapi"]
)
NOT_FOR_PREDICTION = frozenset(["tensorflow", "keras", "optuna", "efficientnet", "dask", "distributed"])
BANNED_AT_START = {name: SLOW for name in COMMAND_MODULES} | {
    "melstack.bundle.loading": NOT_FOR_PREDICTION,
    "melstack.bundle.predicting": NOT_FOR_PREDICTION,
}


@pytest.mark.full
@pytest.mark.parametrize("module", BANNED_AT_START)
def test_a_module_that_must_start_fast_imports_no_slow_library(module: str) -> None:
    code = f"import sys; import {module}; print({set(BANNED_AT_START[module])} & sys.modules.keys())"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def imports_at_start(path: Path) -> set[str]:
    """Return the dotted names that a module imports outside its functions, in ``try`` blocks as well."""
    body = tree_of(path).body
    in_try = [inner for node in body if isinstance(node, ast.Try) for inner in node.body]
    names = set()
    for node in [*body, *in_try]:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_modules_that_must_start_fast_import_slow_libraries_only_within_functions() -> None:
    modules = {module_name(path): path for path in MODULES}
    for start, banned_libraries in BANNED_AT_START.items():
        queue = [start]
        for name in queue:
            names = imports_at_start(modules[name])
            violations = {library for library in names if library.split(".")[0] in banned_libraries}
            assert not violations, f"{start} imports {name}, which imports {sorted(violations)} at its start"
            queue += sorted((names & modules.keys()) - set(queue))
        assert len(queue) >= 5
