"""Tests of the lock files: every version is pinned and hashed, all files agree, and the summary of an audit."""

import re
import runpy
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.sources import ROOT

LOCKS = {
    "requirements.lock": ("train", "dev"),
    "requirements-gpu.lock": ("train", "dev", "gpu"),
    "requirements-predict.lock": ("predict",),
}
PIN = re.compile(r"^(?P<name>[a-z0-9.-]+)==(?P<version>\S+)(?: ; (?P<marker>[^\\]+))? \\$")


def pins(lock: str) -> dict[tuple[str, str], list[str]]:
    """Return (name, version) -> hashes of a lock file."""
    hashes: dict[tuple[str, str], list[str]] = {}
    last = ("", "")
    for line in (ROOT / lock).read_text().splitlines():
        if line.startswith("    --hash="):
            hashes[last].append(line.strip(" \\"))
            continue
        match = PIN.match(line)
        assert match, f"{lock}: {line!r} is not a pinned version with hashes"
        last = match["name"], match["version"]
        hashes[last] = []
    return hashes


@pytest.mark.parametrize("lock", LOCKS)
def test_every_version_is_pinned_with_the_hash_of_every_file(lock: str) -> None:
    hashes_by_pin = pins(lock)
    assert len(hashes_by_pin) > 30
    assert [pin for pin, hashes in hashes_by_pin.items() if not hashes] == []
    all_hashes = [value for hashes in hashes_by_pin.values() for value in hashes]
    assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", value) for value in all_hashes)


def direct_requirements(extras: tuple[str, ...]) -> list[Requirement]:
    """Return the direct requirements of ``extras`` and of the extras that they include."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines, queue = list(project["dependencies"]), list(extras)
    for extra in queue:
        for line in project["optional-dependencies"][extra]:
            inner = re.fullmatch(r"melstack\[(\w+)\]", line)
            queue += [inner[1]] if inner else []
            lines += [] if inner else [line]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize(("lock", "extras"), LOCKS.items())
def test_a_lock_meets_the_requirements_of_the_project(lock: str, extras: tuple[str, ...]) -> None:
    versions: dict[str, list[Version]] = {}
    for name, version in pins(lock):
        versions.setdefault(name, []).append(Version(version))
    for requirement in direct_requirements(extras):
        pinned_versions = versions.get(requirement.name.lower().replace("_", "-"))
        assert pinned_versions, f"{lock}: {requirement.name} is missing; run `make lock`"
        is_met = all(requirement.specifier.contains(version) for version in pinned_versions)
        assert is_met, (lock, str(requirement), pinned_versions)


@pytest.mark.parametrize("lock", ["requirements-gpu.lock", "requirements-predict.lock"])
def test_the_locks_agree_on_every_version(lock: str) -> None:
    names = {name for name, _ in pins("requirements.lock")} & {name for name, _ in pins(lock)}
    assert len(names) > 30
    assert {pin for pin in pins(lock) if pin[0] in names} == {
        pin for pin in pins("requirements.lock") if pin[0] in names
    }


def test_the_environment_for_prediction_does_not_install_tensorflow() -> None:
    assert not {"tensorflow", "keras", "efficientnet", "tf2onnx"} & {
        name for name, _ in pins("requirements-predict.lock")
    }


def test_no_lock_contains_a_download_address() -> None:
    for lock in LOCKS:
        assert not re.search(r"https?:|file:|index-url|find-links", (ROOT / lock).read_text())


REPORT = {
    "dependencies": [
        {"name": "one", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]},
        {"name": "two", "version": "2.0", "vulns": []},
        {"name": "three", "skip_reason": "Dependency not found"},
    ]
}


def test_the_summary_of_an_audit_names_versions_with_advisories_and_unknown_ones() -> None:
    summarise = runpy.run_path(str(ROOT / ".ci" / "audit_dependencies.py"))["summarise"]
    assert summarise(REPORT) == (["one 1.0: PYSEC-1, fixed in 1.1"], ["three"], 1 + 1)
    assert summarise({"dependencies": REPORT["dependencies"][2:]}) == ([], ["three"], 0)
