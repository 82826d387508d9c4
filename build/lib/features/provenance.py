"""What made an artefact: digests of settings, inputs and code, kept in a mark that is written last."""

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from features.faults import InputFault
from features.files import read_json, write_json

Ingredients = Mapping[str, Any]  # name -> JSON value: a setting, or the digest of an input


def digest(value: object) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of ``value`` as canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()[:16]


def digest_of_file(path: Path) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of the file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def digest_of_folder(folder: Path) -> str:
    """Return a digest of the names and sizes (not times: a copy is as good) of the files in ``folder``, not below."""
    listing = sorted((path.name, path.stat().st_size) for path in folder.iterdir() if path.is_file())
    return digest(listing)


def digest_of_code(files: Iterable[Path]) -> str:
    """Return a digest of Python sources that does not change with comments, layout or docstrings."""
    return digest([_shape_of_code(path) for path in sorted(files)])


def is_fresh(mark: Path, made_from: Ingredients, outputs: Sequence[Path] = ()) -> bool:
    """Tell whether ``mark`` exists, was made from exactly these ingredients, and its ``outputs`` are all there."""
    if not mark.is_file() or not all(path.exists() for path in outputs):
        return False
    return not differences(mark, made_from)


def differences(mark: Path, made_from: Ingredients) -> list[str]:
    """Return ``key: then -> now`` for every ingredient in which the artefact at ``mark`` differs from ``made_from``."""
    then, now = _flat(read_json(mark)["made_from"]), _flat(json.loads(json.dumps(dict(made_from))))
    keys = [key for key in sorted(then.keys() | now.keys()) if then.get(key) != now.get(key)]
    return [f"{key}: {then.get(key, 'absent')!r} -> {now.get(key, 'absent')!r}" for key in keys]


def refuse_if_changed(mark: Path, made_from: Ingredients, remedy: str) -> None:
    """Raise InputFault with the differing keys when an artefact that must not be remade was made from other things."""
    if not mark.is_file():
        return
    changed = differences(mark, made_from)
    if changed:
        raise InputFault(
            f"{mark.parent}: made from other settings or inputs:\n  " + "\n  ".join(changed) + f"\n{remedy}"
        )


def finish(mark: Path, made_from: Ingredients, **facts: object) -> None:
    """Write the completion mark: what the artefact was made from, and ``facts`` worth keeping. Call it last."""
    write_json(mark, {"made_from": dict(made_from), **facts})


def _flat(value: object, prefix: str = "") -> dict[str, object]:
    if not isinstance(value, dict):
        return {prefix.rstrip("."): value}
    return {key: leaf for name, inner in value.items() for key, leaf in _flat(inner, f"{prefix}{name}.").items()}


def _shape_of_code(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return f"{path.name}:{ast.dump(tree)}"
