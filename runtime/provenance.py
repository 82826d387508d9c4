"""What made an artefact, and what it became: digests in a mark that is written last.

A mark is JSON: ``made_from`` (settings, digests of inputs and code), ``outputs`` (path from the mark's folder -> bytes
and SHA-256 of every file of the artefact), facts worth keeping, and ``mark``, the digest of all that.
"""

import ast
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from runtime.errors import InputFault
from runtime.files import write_json
from runtime.progress import say

Inputs = Mapping[str, Any]  # name -> JSON value: a setting, or the digest of an input
# Larger files are looked at by size alone where freshness is decided, and by digest where they are read and verified:
# seeing that all is fresh must stay a matter of seconds.
LARGE_BYTES = 32 * 2**20
MARK_KEYS = ("made_from", "outputs", "mark")  # what every mark holds; the rest are facts


def digest(value: object) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of ``value`` as canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()[:16]


def digest_of_file(path: Path) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of the file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def digest_of_bytes(content: bytes) -> str:
    """Return the ``digest_of_file`` of a file with this content."""
    return hashlib.sha256(content).hexdigest()[:16]


def digest_of_folder(folder: Path) -> str:
    """Return a digest of the names and sizes (not times: a copy is as good) of the files in ``folder``, not below."""
    return digest_of_listing(folder.iterdir())


def digest_of_listing(paths: Iterable[Path]) -> str:
    """Return the ``digest_of_folder`` of a folder in which ``paths`` lie."""
    return digest(sorted((path.name, path.stat().st_size) for path in paths if path.is_file()))


def digest_of_code(files: Iterable[Path]) -> str:
    """Return a digest of Python sources that does not change with comments, layout or docstrings."""
    return digest([_shape_of_code(path) for path in sorted(files)])


def is_fresh(mark: Path, made_from: Inputs, outputs: Sequence[Path] = (), *, whole: bool = False) -> bool:
    """Tell whether ``mark`` exists, was made from exactly these ingredients, and all files are there as written.

    Those are ``outputs`` (they must exist) and what the mark recorded: by digest, large ones by size unless ``whole``.
    A damaged mark or file is named to the user.
    """
    content = read_mark(mark)
    if content is None or differences_of(content, made_from) or not all(path.exists() for path in outputs):
        return False
    found = find_damage(mark, whole=whole)
    for sentence in found:
        _say_once(f"{sentence}; it is made again")
    return not found


def read_mark(mark: Path) -> dict[str, Any] | None:
    """Return what a mark says; None where there is none, or it is damaged, which is said: it counts as not written."""
    content, fault = examine_mark(mark)
    if fault:
        _say_once(f"{fault}: it counts as not finished")
    return content


def examine_mark(mark: Path) -> tuple[dict[str, Any] | None, str]:
    """Return what a mark says and no fault; or None and, where it is there but damaged, a sentence."""
    if not mark.is_file():
        return None, ""
    try:
        content = json.loads(mark.read_text(encoding="utf-8"))
        made_from, own = content["made_from"], content.pop("mark", None)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return None, f"{mark}: a damaged mark ({type(error).__name__}: {error})"
    sound = isinstance(made_from, dict) and (own is None or own == digest(content))  # older marks have no digest
    return (content, "") if sound else (None, f"{mark}: a damaged mark, it is not as it was written")


def find_damage(mark: Path, *, whole: bool = True) -> list[str]:
    """Return a sentence for every file that a sound ``mark`` recorded and that is not as it was written.

    Without ``whole`` large files are looked at by their size alone.
    """
    content, fault = examine_mark(mark)
    if content is None:
        return [fault] if fault else []
    found = [_damage(path, written, whole) for path, written in outputs_of(mark, content).items()]
    return [sentence for sentence in found if sentence]


def outputs_of(mark: Path, content: Mapping[str, Any]) -> dict[Path, Mapping[str, Any]]:
    """Return path -> bytes and sha256 of the files that a mark's content records; none for a mark of before."""
    recorded: dict[str, Mapping[str, Any]] = content.get("outputs", {})
    return {Path(os.path.normpath(mark.parent / name)): written for name, written in recorded.items()}


def check_outputs(mark: Path, remedy: str) -> None:
    """Raise InputFault that names the files of a mark that are not as written; the mark is taken away.

    So the command that ``remedy`` names makes the artefact again.
    """
    found = find_damage(mark)
    if found:
        mark.unlink(missing_ok=True)
        raise InputFault("\n".join([*found, remedy]))


def differences(mark: Path, made_from: Inputs) -> list[str]:
    """Return ``key: then -> now`` for every ingredient in which the artefact at ``mark`` differs from ``made_from``."""
    content = read_mark(mark)
    return ["the mark: damaged -> sound"] if content is None else differences_of(content, made_from)


def differences_of(content: Mapping[str, Any], made_from: Inputs) -> list[str]:
    """Return ``key: then -> now`` between what a mark's content says and ``made_from``."""
    then, now = _flat(content["made_from"]), _flat(json.loads(json.dumps(dict(made_from))))
    keys = [key for key in sorted(then.keys() | now.keys()) if then.get(key) != now.get(key)]
    return [f"{key}: {then.get(key, 'absent')!r} -> {now.get(key, 'absent')!r}" for key in keys]


def check_inputs(mark: Path, made_from: Inputs, remedy: str) -> None:
    """Raise InputFault with the differing keys when an artefact that must not be remade was made from other things."""
    content = read_mark(mark)
    changed = [] if content is None else differences_of(content, made_from)
    if changed:
        raise InputFault(
            f"{mark.parent}: made from other settings or inputs:\n  " + "\n  ".join(changed) + f"\n{remedy}"
        )


def write_mark(mark: Path, made_from: Inputs, outputs: Iterable[Path] = (), **facts: object) -> None:
    """Write the completion mark: what the artefact was made from, its files as they are, and facts. Call it last."""
    written = {os.path.relpath(path, mark.parent): _written(path) for path in sorted(outputs)}
    content = json.loads(json.dumps({"made_from": dict(made_from), "outputs": written, **facts}, allow_nan=False))
    write_json(mark, {**content, "mark": digest(content)})


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of the file's bytes as 64 hexadecimal digits, as sha256sum prints it."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _written(path: Path) -> dict[str, object]:
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}


def _damage(path: Path, written: Mapping[str, Any], whole: bool) -> str:
    """Return how the file differs from what was ``written``, or nothing where it does not."""
    if not path.is_file():
        return f"{path}: it is not there any more"
    size = path.stat().st_size
    if size != written["bytes"]:
        return f"{path}: damaged, {size} bytes instead of the {written['bytes']} that were written"
    if (whole or size <= LARGE_BYTES) and (found := sha256_of(path)) != written["sha256"]:
        return f"{path}: damaged, SHA-256 {found[:16]}... instead of {written['sha256'][:16]}... as it was written"
    return ""


@cache
def _say_once(sentence: str) -> None:
    """Say it; not again in this process: a mark is looked at several times."""
    say(sentence)


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
