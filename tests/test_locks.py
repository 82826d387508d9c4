"""Tests of the lock files: every version pinned and hashed, all files of one mind, and what an audit of them says."""

import re
import runpy
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.sources import ROOT

LOCKS = {
    "requirements.lock": ("train", "serve", "dev"),
    "requirements-gpu.lock": ("train", "serve", "dev", "gpu"),
    "requirements-predict.lock": ("predict",),
}
PIN = re.compile(r"^(?P<name>[a-z0-9.-]+)==(?P<version>\S+)(?: ; (?P<marker>[^\\]+))? \\$")


def pins(lock: str) -> dict[tuple[str, str], list[str]]:
    """Return (name, version) -> hashes."""
    found: dict[tuple[str, str], list[str]] = {}
    last = ("", "")
    for line in (ROOT / lock).read_text().splitlines():
        if line.startswith("    --hash="):
            found[last].append(line.strip(" \\"))
            continue
        match = PIN.match(line)
        assert match, f"{lock}: {line!r} is no pin with a hash"
        last = match["name"], match["version"]
        found[last] = []
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_every_version_is_pinned_with_the_hash_of_every_file(lock: str) -> None:
    locked = pins(lock)
    assert len(locked) > 30
    bare = [pin for pin, hashes in locked.items() if not hashes]
    assert bare == []
    assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for hashes in locked.values() for each in hashes)


def wanted(extras: tuple[str, ...]) -> list[Requirement]:
    """Return the direct requirements of ``extras``, those that one extra takes from another included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines, waiting = list(project["dependencies"]), list(extras)
    for extra in waiting:
        for line in project["optional-dependencies"][extra]:
            own = re.fullmatch(r"melstack\[(\w+)\]", line)
            waiting += [own[1]] if own else []
            lines += [] if own else [line]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize(("lock", "extras"), LOCKS.items())
def test_a_lock_meets_what_the_project_asks_for(lock: str, extras: tuple[str, ...]) -> None:
    versions: dict[str, list[Version]] = {}
    for name, version in pins(lock):
        versions.setdefault(name, []).append(Version(version))
    for requirement in wanted(extras):
        found = versions.get(requirement.name.lower().replace("_", "-"))
        assert found, f"{lock} lacks {requirement.name}: make lock"
        assert all(requirement.specifier.contains(version) for version in found), (lock, str(requirement), found)


@pytest.mark.parametrize("lock", ["requirements-gpu.lock", "requirements-predict.lock"])
def test_the_locks_agree_on_every_version(lock: str) -> None:
    shared = {name for name, _ in pins("requirements.lock")} & {name for name, _ in pins(lock)}
    assert len(shared) > 30
    assert {pin for pin in pins(lock) if pin[0] in shared} == {
        pin for pin in pins("requirements.lock") if pin[0] in shared
    }


def test_the_predicting_environment_brings_no_tensorflow() -> None:
    assert not {"tensorflow", "keras", "efficientnet", "tf2onnx"} & {
        name for name, _ in pins("requirements-predict.lock")
    }


def test_no_lock_names_a_place_to_download_from() -> None:
    for lock in LOCKS:
        assert not re.search(r"https?:|file:|index-url|find-links", (ROOT / lock).read_text())


REPORT = {
    "dependencies": [
        {"name": "one", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]},
        {"name": "two", "version": "2.0", "vulns": []},
        {"name": "three", "skip_reason": "Dependency not found"},
    ]
}


def test_an_audit_names_what_has_an_advisory_and_what_it_could_not_look_up() -> None:
    judged = runpy.run_path(str(ROOT / ".ci" / "audit_dependencies.py"))["judged"]
    assert judged(REPORT) == (["one 1.0: PYSEC-1, mended in 1.1"], ["three"], 1 + 1)
    assert judged({"dependencies": REPORT["dependencies"][2:]}) == ([], ["three"], 0)
