"""Where a run comes from: settings, digests, versions and times from its run.json files, and the machine."""

import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from runtime.files import read_json
from runtime.machine.cores import allowed_cores
from runtime.run_folder import Run

OWN_PACKAGES = ("melstack", "tensorflow", "keras", "efficientnet", "onnxruntime")
TABLES = ("numpy", "pandas", "pyarrow", "scipy", "scikit-learn")
LEARNERS = ("lightgbm", "xgboost-cpu", "xgboost", "catboost", "optuna", "shap")
PACKAGES = (*OWN_PACKAGES, *TABLES, *LEARNERS, "jinja2")


@dataclass(frozen=True)
class Origin:
    """One artefact: its name, when it was finished, and the contents of its JSON file as (key, value), in order."""

    name: str
    finish_time: str
    facts: list[tuple[str, str]]


def origins(run: Run, recipe: str, networks: Sequence[str]) -> list[Origin]:
    """Return the origins of the case table, ``networks``, feature blocks and stack, from their JSON files."""
    marks = {"case table": run.cases_mark}
    marks |= {f"network {name}": run.level1 / name / "run.json" for name in networks}
    marks |= {f"block {path.stem}": path for path in sorted(run.blocks.glob("*.json"))}
    marks |= {f"stack {recipe}": run.level2 / recipe / "run.json"}
    return [Origin(name, _modification_time(path), list(flatten(read_json(path)))) for name, path in marks.items()]


def versions() -> list[tuple[str, str]]:
    """Return Python and the relevant packages with the versions that are installed now."""
    return [("Python", platform.python_version()), *_package_versions()]


def machine() -> list[tuple[str, str]]:
    """Return the machine that writes the page: processor, cores, memory, system."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    facts = {
        "processor": _processor(),
        "cores": str(allowed_cores()),
        "memory": f"{memory / 2**30:.0f} GB" if memory else "",
        "system": f"{platform.system()} {platform.machine()}",
    }
    return [(name, value) for name, value in facts.items() if value]


def now() -> str:
    """Return the current time in UTC, to the minute."""
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"


def flatten(value: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield (dotted key, text) of every value of nested JSON; a list without objects is one text."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
        for index, inner in enumerate(value):
            yield from flatten(inner, f"{prefix}.{index}")
    else:
        yield prefix.removeprefix("made_from."), _text(value)


def _text(value: Any) -> str:  # noqa: ANN401  any JSON value
    if isinstance(value, list):
        return ", ".join(_text(each) for each in value) or "none"
    return {None: "none", True: "yes", False: "no"}[value] if value is None or isinstance(value, bool) else str(value)


def _package_versions() -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        try:
            yield package, metadata.version(package)
        except metadata.PackageNotFoundError:
            continue


def _modification_time(path: Path) -> str:
    return f"{datetime.fromtimestamp(path.stat().st_mtime, UTC):%Y-%m-%d %H:%M} UTC"


def _processor() -> str:
    """Return the name of the processor: on Linux from /proc/cpuinfo, else from `platform`."""
    cpuinfo = Path("/proc/cpuinfo")
    if sys.platform != "linux" or not cpuinfo.is_file():
        return platform.processor()
    lines = (line.partition(":") for line in cpuinfo.read_text(encoding="utf-8").splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == "model name"), platform.processor())
