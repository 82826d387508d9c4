"""Tests that no module executes the content of a file: no pickle, no code from text, no shell."""

import ast
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from level1_cnn.training.checkpoint import load_state
from runtime.errors import InputFault
from runtime.files import read_arrays
from tests.sources import MODULES, tree_of, where

EXECUTING_CALLS = {
    "eval",
    "exec",
    "compile",
    "pickle.load",
    "pickle.loads",
    "pickle.Unpickler",
    "joblib.load",
    "os.system",
    "os.popen",
    "marshal.loads",
    "shelve.open",
    "yaml.load",
    "torch.load",
    "pd.read_pickle",
    "pandas.read_pickle",
    "keras.models.load_model",
    "keras.saving.load_model",
    "runpy.run_path",
}
EXCEPTIONS = {
    "runtime/cluster/workers.py": {"pickle.loads"},  # checks whether an error that this process pickled is readable
    "level1_cnn/torch_pickle.py": {"pickle.Unpickler"},  # refuses all except four harmless names: test_torch_pickle.py
}


def calls_and_bases(path: Path) -> set[str]:
    """Return the dotted names of all functions that a module calls and of all classes that it inherits from."""
    nodes = list(ast.walk(tree_of(path)))
    expressions = [node.func for node in nodes if isinstance(node, ast.Call)]
    expressions += [base for node in nodes if isinstance(node, ast.ClassDef) for base in node.bases]
    return {ast.unparse(expression) for expression in expressions}


def constant_keywords(path: Path) -> set[tuple[str | None, object]]:
    """Return the (keyword, value) pairs of a module's calls whose value is a constant."""
    words = [word for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call) for word in node.keywords]
    return {(word.arg, word.value.value) for word in words if isinstance(word.value, ast.Constant)}


def test_no_module_unpickles_or_evaluates() -> None:
    calls = {where(path): calls_and_bases(path) & EXECUTING_CALLS for path in MODULES}
    assert len(calls) > 200
    assert {path: names for path, names in calls.items() if names - EXCEPTIONS.get(path, set())} == {}


def test_no_module_allows_numpy_to_unpickle_or_a_shell_to_read_a_command() -> None:
    forbidden = {("allow_pickle", True), ("shell", True), ("safe_mode", False), ("weights_only", False)}
    keywords = {where(path): constant_keywords(path) & forbidden for path in MODULES}
    assert {path: pairs for path, pairs in keywords.items() if pairs} == {}


class Exploit:
    """An object that makes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.trace,)


def test_a_pickle_in_a_file_of_arrays_is_refused_and_not_executed(tmp_path: Path) -> None:
    trace, file = tmp_path / "trace", tmp_path / "exploit.npz"
    np.savez(file, allow_pickle=True, epochs_done=1, weights=np.array([Exploit(trace)], dtype=object))
    with pytest.raises(InputFault, match=r"not a \.npz file of arrays"):
        read_arrays(file, "weights")
    assert load_state(file) is None
    assert not trace.exists()
    pickle.loads(pickle.dumps(Exploit(trace)))
    assert trace.exists()  # unpickling it would have made the file


def test_a_pickle_under_another_name_is_refused(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    (tmp_path / "plain.npz").write_bytes(pickle.dumps(Exploit(trace)))
    with zipfile.ZipFile(tmp_path / "inner.npz", "w") as archive:
        archive.writestr("weights.npy", pickle.dumps(Exploit(trace)))
    for name in ("plain.npz", "inner.npz"):
        with pytest.raises(InputFault):
            read_arrays(tmp_path / name, "weights")
    assert not trace.exists()
