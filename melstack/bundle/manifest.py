"""What a bundle consists of, and the digest of every file: checked before anything of it is used."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator

from features.cases.names import name_fault
from runtime.errors import Faults, InputFault, list_names
from runtime.files import read_json, write_json
from runtime.settings import Settings, check_settings

NAME = "manifest.json"
NETWORKS, STACK, CARD = "networks", "stack", "model_card.md"  # beside it
FORMAT = 1  # raise it when a bundle of before cannot be read any more


class NetworkEntry(Settings):
    """A network of the stack; the predictions of a foreign one are asked for, as nobody here can make them."""

    name: str
    foreign: bool

    @field_validator("name")
    @classmethod
    def _is_no_path(cls, name: str) -> str:
        """Refuse a path: files are read and written under this name."""
        if fault := name_fault(name, paths=False):
            raise ValueError(f"a name {fault}")
        return name


class MetadataColumn(Settings):
    """What the training cases hold in a metadata column: numbers from ``low`` to ``high``, or texts."""

    kind: Literal["number", "text"]
    low: float | None = None
    high: float | None = None
    values: tuple[str, ...] = ()


class Manifest(Settings):
    """``manifest.json`` of a bundle."""

    format: int
    run: str
    recipe: str
    networks: tuple[NetworkEntry, ...]
    blocks: tuple[str, ...]
    contrasts: tuple[str, ...]
    metadata: dict[str, MetadataColumn]
    reference: str | None  # the network by which a picture is told to be unusual
    ugly_limit: float | None  # an ugly duckling's distance from the others of its patient, at least
    facts: dict[str, Any]  # auc, auc_low, auc_high, prevalence: what the page and the card say of the model
    versions: dict[str, str]
    files: dict[str, str]  # path in the bundle -> SHA-256


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``manifest`` into ``folder`` with the digests of all files that are there, last of all."""
    files = {path.relative_to(folder).as_posix(): digest(path) for path in sorted(_files(folder))}
    write_json(folder / NAME, manifest.model_copy(update={"files": files}).model_dump(mode="json"))


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of the bundle in ``folder`` once all its files have been found as they were written.

    Raises InputFault that names every file that is missing, was changed, or lies outside the bundle.
    """
    if not (folder / NAME).is_file():
        raise InputFault(f"{folder}: no bundle, it has no {NAME}; `make submission` writes one into runs/<name>/bundle")
    told = read_json(folder / NAME)
    if not isinstance(told, dict):
        raise InputFault(f"{folder / NAME}: not a manifest but {type(told).__name__}")
    manifest = check_settings(told, Manifest, str(folder / NAME))
    if manifest.format != FORMAT:
        raise InputFault(f"{folder}: a bundle of format {manifest.format}; this version reads format {FORMAT}")
    _check_files(folder, manifest.files)
    return manifest


def bundle_digest(folder: Path) -> str:
    """Return the digest that stands for a whole bundle: that of its manifest."""
    return digest(folder / NAME)[:16]


def digest(path: Path) -> str:
    """Return the SHA-256 of the file's bytes as hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_files(folder: Path, files: dict[str, str]) -> None:
    faults, root = Faults(), folder.resolve()
    outside = [name for name in files if not (root / name).resolve().is_relative_to(root)]
    if outside:
        faults.add(f"files outside the bundle: {list_names(outside)}")
    inside = {name: folder / name for name in files if name not in outside}
    missing = [name for name, path in inside.items() if not path.is_file()]
    if missing:
        faults.add(f"missing: {list_names(missing)}")
    changed = [name for name, path in inside.items() if path.is_file() and digest(path) != files[name]]
    if changed:
        faults.add(f"not as they were written: {list_names(changed)}")
    strange = [name for path in _files(folder) if (name := path.relative_to(folder).as_posix()) not in files]
    if strange:
        faults.add(f"not of this bundle: {list_names(strange)}")
    faults.raise_if_any(f"{folder}: the bundle is damaged")


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and path != folder / NAME)
