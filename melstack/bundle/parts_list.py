"""The software bill of materials of a bundle (SBOM, CycloneDX 1.6): its files, and packages that made and run it."""

import hashlib
import json
import re
import uuid
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from melstack.bundle.manifest import NAME, PARTS_LIST, SIGNATURE, digest
from runtime.files import write_json

PACKAGE = "melstack"
RUNS, MAKES = "predict", "train"  # the extras of the package that a bundle needs to run, and to be made
SPEC = "1.6"
Json = dict[str, Any]


def write_parts_list(folder: Path, name: str) -> None:
    """Write the list of the parts of the bundle called ``name`` in ``folder``; call it after all other files.

    It has no time and no random number: the same files and packages give the same bytes.
    """
    files = [_file(folder, path) for path in sorted(folder.rglob("*")) if path.is_file()]
    files = [file for file in files if file["name"] not in (NAME, PARTS_LIST, SIGNATURE)]
    write_json(folder / PARTS_LIST, parts_list(name, files, packages()))


def parts_list(name: str, files: Sequence[Json], libraries: Sequence[Json]) -> Json:
    """Return the CycloneDX document of a bundle with these components."""
    content = json.dumps([name, *files, *libraries], sort_keys=True)
    key = hashlib.sha256(content.encode()).hexdigest()
    bundle = {"type": "machine-learning-model", "bom-ref": "bundle", "name": name, "version": key[:16]}
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, key)}",
        "version": 1,
        "metadata": {"component": bundle},
        "components": [*files, *libraries],
        "dependencies": [
            {"ref": "bundle", "dependsOn": sorted(part["bom-ref"] for part in libraries if part["scope"] == "required")}
        ],
    }


def packages() -> list[Json]:
    """Return the installed packages that run a bundle (scope required) or only make one (excluded), by name."""
    running, making = (_with_requirements(extra) for extra in (RUNS, MAKES))
    return [_library(name, "required" if name in running else "excluded") for name in sorted(running | making)]


def _with_requirements(extra: str) -> set[str]:
    """Return the normalised names of our package with ``extra`` and of all that it requires, as far as installed."""
    visits, waiting = set[tuple[str, str]](), [(PACKAGE, extra)]
    while waiting:
        name, option = waiting.pop()
        if (name, option) in visits or not _has_package(name):
            continue
        visits.add((name, option))
        waiting += _requirements(name, option)
    return {name for name, _ in visits}


def _requirements(name: str, extra: str) -> list[tuple[str, str]]:
    needs = [Requirement(text) for text in metadata.requires(name) or ()]
    applicable = [each for each in needs if each.marker is None or each.marker.evaluate({"extra": extra})]
    return [(_normal(each.name), option) for each in applicable for option in ("", *sorted(each.extras))]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _has_package(name: str) -> bool:
    try:
        return bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False


def _library(name: str, scope: str) -> Json:
    version = metadata.version(name)
    purl = f"pkg:pypi/{name}@{version}"
    part = {"type": "library", "bom-ref": purl, "name": name, "version": version, "scope": scope, "purl": purl}
    return {**part, **_licences(metadata.metadata(name))}


def _licences(facts: metadata.PackageMetadata) -> Json:
    """Return the licence of a package: its SPDX expression, or the names in its classifiers; nothing if unknown."""
    expression = next(iter(facts.get_all("License-Expression") or []), None)
    if expression:
        return {"licenses": [{"expression": expression}]}
    classifiers = facts.get_all("Classifier") or []
    names = sorted({each.split(" :: ")[-1] for each in classifiers if each.startswith("License :: ")})
    return {"licenses": [{"license": {"name": name}} for name in names]} if names else {}


def _file(folder: Path, path: Path) -> Json:
    name = path.relative_to(folder).as_posix()
    hashes = [{"alg": "SHA-256", "content": digest(path)}]
    return {"type": "file", "bom-ref": f"file:{name}", "name": name, "hashes": hashes}
