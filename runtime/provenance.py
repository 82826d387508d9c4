"""Marks: JSON files that record the inputs and the files of an artefact; each is written last, when all else is done.

A mark holds ``made_from`` (settings, digests of inputs and code), ``outputs`` (path relative to the mark's folder ->
bytes and SHA-256 of every file of the artefact), further facts, and ``mark``, the digest of all of these.
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
from runtime.progress import warn

Inputs = Mapping[str, Any]  # name -> JSON value: a setting, or the digest of an input
# Whether an artefact is fresh must be known within seconds: of larger files is_fresh compares the size only. Their
# digest is checked when they are read, and by `verify`.
LARGE_BYTES = 32 * 2**20
MARK_KEYS = ("made_from", "outputs", "mark")  # keys of every mark; all others are facts


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


def digest_of_code(files: Iterable[Path]) -> str:
    """Return a digest of Python sources that does not depend on comments, layout or docstrings."""
    return digest([_syntax_of(path) for path in sorted(files)])


def is_fresh(mark: Path, made_from: Inputs, outputs: Sequence[Path] = (), *, hash_all: bool = False) -> bool:
    """Return whether ``mark`` exists, records exactly the inputs ``made_from``, and all files are as they were written.

    The ``outputs`` must exist. Files that the mark records must have the recorded size and digest; for large files
    the digest is compared only with ``hash_all``. Prints a message for a damaged mark or file.
    """
    content = read_mark(mark)
    if content is None or differences_of(content, made_from) or not all(path.exists() for path in outputs):
        return False
    messages = find_damage(mark, hash_all=hash_all)
    for message in messages:
        _say_once(f"{message}; it is made again")
    return not messages


def read_mark(mark: Path) -> dict[str, Any] | None:
    """Return the content of a mark; None when the file is missing or damaged. Damage is printed."""
    content, fault = examine_mark(mark)
    if fault:
        _say_once(f"{fault}; its artefact counts as unfinished")
    return content


def examine_mark(mark: Path) -> tuple[dict[str, Any] | None, str]:
    """Return the content of a mark and ""; None and "" when it is missing; None and a message when it is damaged."""
    if not mark.is_file():
        return None, ""
    try:
        content = json.loads(mark.read_text(encoding="utf-8"))
        made_from, own = content["made_from"], content.pop("mark", None)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return None, f"{mark}: a damaged mark ({type(error).__name__}: {error})"
    is_intact = isinstance(made_from, dict) and (own is None or own == digest(content))  # older marks have no digest
    return (content, "") if is_intact else (None, f"{mark}: a damaged mark, its content does not match its digest")


def find_damage(mark: Path, *, hash_all: bool = True) -> list[str]:
    """Return a message for every missing or changed file of ``mark``; one message if the mark itself is damaged.

    Without ``hash_all`` only the size of large files is compared.
    """
    content, fault = examine_mark(mark)
    if content is None:
        return [fault] if fault else []
    messages = [_damage(path, record, hash_all) for path, record in outputs_of(mark, content).items()]
    return [message for message in messages if message]


def outputs_of(mark: Path, content: Mapping[str, Any]) -> dict[Path, Mapping[str, Any]]:
    """Return path -> bytes and sha256 of the files that a mark's content records; older marks record none."""
    records: dict[str, Mapping[str, Any]] = content.get("outputs", {})
    return {Path(os.path.normpath(mark.parent / name)): record for name, record in records.items()}


def check_outputs(mark: Path, remedy: str) -> None:
    """If files of ``mark`` are missing or changed, remove the mark; raise InputFault with their names and ``remedy``.

    Without its mark, the artefact is made again by the command that ``remedy`` names.
    """
    messages = find_damage(mark)
    if messages:
        mark.unlink(missing_ok=True)
        raise InputFault("\n".join([*messages, remedy]))


def differences(mark: Path, made_from: Inputs) -> list[str]:
    """Return ``key: then -> now`` for every input that differs between ``mark`` and ``made_from``."""
    content = read_mark(mark)
    return ["the mark: damaged -> intact"] if content is None else differences_of(content, made_from)


def differences_of(content: Mapping[str, Any], made_from: Inputs) -> list[str]:
    """Return ``key: then -> now`` for every input that differs between a mark's ``content`` and ``made_from``."""
    then, now = _flat(content["made_from"]), _flat(json.loads(json.dumps(dict(made_from))))
    keys = [key for key in sorted(then.keys() | now.keys()) if then.get(key) != now.get(key)]
    return [f"{key}: {then.get(key, 'absent')!r} -> {now.get(key, 'absent')!r}" for key in keys]


def check_inputs(mark: Path, made_from: Inputs, remedy: str) -> None:
    """Raise InputFault with the differing keys when ``mark`` records inputs other than ``made_from``.

    For artefacts that must not be made a second time.
    """
    content = read_mark(mark)
    changes = [] if content is None else differences_of(content, made_from)
    if changes:
        raise InputFault(
            f"{mark.parent}: made from other settings or inputs:\n  " + "\n  ".join(changes) + f"\n{remedy}"
        )


def write_mark(mark: Path, made_from: Inputs, outputs: Iterable[Path] = (), **facts: object) -> None:
    """Write the mark of an artefact: its inputs, size and digest of its files, and ``facts``. Call it last."""
    records = {os.path.relpath(path, mark.parent): _record(path) for path in sorted(outputs)}
    content = json.loads(json.dumps({"made_from": dict(made_from), "outputs": records, **facts}, allow_nan=False))
    write_json(mark, {**content, "mark": digest(content)})


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of the file's bytes as 64 hexadecimal digits, as sha256sum prints it."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _record(path: Path) -> dict[str, object]:
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}


def _damage(path: Path, record: Mapping[str, Any], hash_all: bool) -> str:
    """Return a message on how the file differs from its ``record``; "" when it does not."""
    if not path.is_file():
        return f"{path}: missing, although it was written"
    size = path.stat().st_size
    if size != record["bytes"]:
        return f"{path}: damaged, {size} bytes instead of the {record['bytes']} that were written"
    if (hash_all or size <= LARGE_BYTES) and (sha256 := sha256_of(path)) != record["sha256"]:
        return f"{path}: damaged, SHA-256 {sha256[:16]}... instead of {record['sha256'][:16]}... that was written"
    return ""


@cache
def _say_once(message: str) -> None:
    """Print ``message`` the first time only: a process reads the same mark several times."""
    warn(message)


def _flat(value: object, prefix: str = "") -> dict[str, object]:
    if not isinstance(value, dict):
        return {prefix.rstrip("."): value}
    return {key: leaf for name, inner in value.items() for key, leaf in _flat(inner, f"{prefix}{name}.").items()}


def _syntax_of(path: Path) -> str:
    """Return a module's name and its syntax tree without docstrings, as text."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return f"{path.name}:{ast.dump(tree)}"
