"""Tests that nothing which is read is executed: no pickle, no code from text, no shell, in any module."""

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

EXECUTING = {
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
# Each with its reason: what it may read was made by this very process, or is restricted to four harmless names.
ALLOWED = {
    "runtime/cluster/workers.py": {"pickle.loads"},  # asks whether its own error survives the way home
    "level1_cnn/torch_pickle.py": {"pickle.Unpickler"},  # refuses every name but four: test_torch_pickle.py
}


def called(path: Path) -> set[str]:
    """Return the dotted names of everything that is called or inherited from in a module."""
    nodes = list(ast.walk(tree_of(path)))
    used = [node.func for node in nodes if isinstance(node, ast.Call)]
    used += [parent for node in nodes if isinstance(node, ast.ClassDef) for parent in node.bases]
    return {ast.unparse(name) for name in used}


def keywords(path: Path) -> set[tuple[str | None, object]]:
    """Return the keywords with constants that a module gives to calls."""
    words = [word for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call) for word in node.keywords]
    return {(word.arg, word.value.value) for word in words if isinstance(word.value, ast.Constant)}


def test_no_module_unpickles_or_evaluates() -> None:
    found = {where(path): called(path) & EXECUTING - ALLOWED.get(where(path), set()) for path in MODULES}
    assert len(found) > 200
    assert {path: names for path, names in found.items() if names} == {}


def test_no_module_lets_numpy_unpickle_or_a_shell_read_a_command() -> None:
    refused = {("allow_pickle", True), ("shell", True), ("safe_mode", False), ("weights_only", False)}
    found = {where(path): keywords(path) & refused for path in MODULES}
    assert {path: words for path, words in found.items() if words} == {}


class Bomb:
    """What leaves a file behind when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.proof,)


def test_a_file_of_arrays_that_holds_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    proof = tmp_path / "ran"
    np.savez(tmp_path / "bomb.npz", allow_pickle=True, epochs_done=1, weights=np.array([Bomb(proof)], dtype=object))
    with pytest.raises(InputFault, match="not a file of arrays"):
        read_arrays(tmp_path / "bomb.npz", "weights")
    assert load_state(tmp_path / "bomb.npz") is None
    assert not proof.exists()
    pickle.loads(pickle.dumps(Bomb(proof)))
    assert proof.exists()  # the bomb is one


def test_a_pickle_under_another_name_is_refused(tmp_path: Path) -> None:
    proof = tmp_path / "ran"
    (tmp_path / "plain.npz").write_bytes(pickle.dumps(Bomb(proof)))
    with zipfile.ZipFile(tmp_path / "inner.npz", "w") as archive:
        archive.writestr("weights.npy", pickle.dumps(Bomb(proof)))
    for name in ("plain.npz", "inner.npz"):
        with pytest.raises(InputFault):
            read_arrays(tmp_path / name, "weights")
    assert not proof.exists()
