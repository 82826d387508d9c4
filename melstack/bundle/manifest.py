"""The manifest of a bundle: its parts, and the digest of every file, which is checked before the file is used."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator

from features.cases.names import name_fault
from runtime.errors import Faults, InputFault, list_names
from runtime.files import read_json, write_json
from runtime.invocation import command
from runtime.settings import Settings, check_settings

NAME = "manifest.json"
NETWORKS, STACK, CARD = "networks", "stack", "model_card.md"  # in the folder of the manifest
PARTS_LIST = "sbom.cdx.json"
SIGNATURE = "manifest.sig"  # of the manifest, which therefore does not list it
MAX_BYTES = 50_000_000  # of the manifest
FORMAT = 1  # raise it when bundles of an earlier version can no longer be read


class NetworkEntry(Settings):
    """A network of the stack; a ``foreign`` one is not in the bundle: its predictions come from the user's tables.

    ``words`` name it on pages: "EfficientNet-Lite0, 96 px, frozen"; "" in a bundle of an older version.
    """

    name: str
    foreign: bool
    words: str = ""

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        """Raise ValueError for a path: files are read and written under this name."""
        if fault := name_fault(name, paths=False):
            raise ValueError(f"a name {fault}")
        return name


class MetadataColumn(Settings):
    """The values of a metadata column in the training cases: numbers from ``low`` to ``high``, or texts."""

    kind: Literal["number", "text"]
    low: float | None = None
    high: float | None = None
    values: tuple[str, ...] = ()


class Manifest(Settings):
    """The content of ``manifest.json``."""

    format: int
    run: str
    recipe: str
    networks: tuple[NetworkEntry, ...]
    blocks: tuple[str, ...]
    contrasts: tuple[str, ...]
    metadata: dict[str, MetadataColumn]
    reference: str | None  # the network whose embeddings decide whether a picture is unusual
    ugly_limit: float | None  # an ugly duckling is at least this far from the patient's other lesions
    facts: dict[str, Any]  # stack (its digest), auc, auc_low, auc_high, prevalence, ...: shown by the page
    versions: dict[str, str]
    files: dict[str, str]  # path in the bundle -> SHA-256


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``manifest`` with the digests of all files in ``folder``; call it after the last file is written."""
    files = {path.relative_to(folder).as_posix(): digest(path) for path in sorted(_files(folder))}
    write_json(folder / NAME, manifest.model_copy(update={"files": files}).model_dump(mode="json"))


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of the bundle in ``folder`` after checking the digest of every file.

    Raises InputFault that names every file that is missing, was changed, is not listed, or is outside the bundle.
    """
    if not (folder / NAME).is_file():
        raise InputFault(
            f"{folder}: not a bundle, it has no {NAME}; {command('submission')} writes one into runs/<name>/bundle"
        )
    if (folder / NAME).stat().st_size > MAX_BYTES:
        raise InputFault(f"{folder / NAME}: more than {MAX_BYTES:,} bytes, which no bundle has; write it again")
    content = read_json(folder / NAME)
    if not isinstance(content, dict):
        raise InputFault(
            f"{folder / NAME}: a manifest must be a JSON object, found {type(content).__name__}; write the bundle again"
        )
    manifest = check_settings(content, Manifest, str(folder / NAME))
    if manifest.format != FORMAT:
        raise InputFault(
            f"{folder}: the bundle has format {manifest.format}; this version reads format {FORMAT}; use the version "
            f"that wrote it (melstack {manifest.versions.get('melstack', 'not known')}) or write the bundle again"
        )
    _check_files(folder, manifest.files)
    return manifest


def bundle_digest(folder: Path) -> str:
    """Return the digest of a whole bundle: 16 hexadecimal digits of the SHA-256 of its manifest."""
    return digest(folder / NAME)[:16]


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as hexadecimal digits."""
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
        faults.add(f"missing files: {list_names(missing)}")
    differing = [name for name, path in inside.items() if path.is_file() and digest(path) != files[name]]
    if differing:
        faults.add(f"files changed since they were written: {list_names(differing)}")
    strays = [name for path in _files(folder) if (name := path.relative_to(folder).as_posix()) not in files]
    if strays:
        faults.add(f"files that {NAME} does not list: {list_names(strays)}")
    faults.raise_if_any(f"{folder}: the bundle is damaged; copy or write it again")


def _files(folder: Path) -> Iterator[Path]:
    own = {folder / NAME, folder / SIGNATURE}
    return (path for path in folder.rglob("*") if path.is_file() and path not in own)
