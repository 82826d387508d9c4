"""What made a run: settings, digests, versions, times and the machine, as they are written in its marks."""

import os
import platform
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from runtime.files import read_json
from runtime.run_folder import Run

OURS = ("melstack", "tensorflow", "keras", "efficientnet", "onnxruntime")
TABLES = ("numpy", "pandas", "pyarrow", "scipy", "scikit-learn")
LEARNERS = ("lightgbm", "xgboost-cpu", "xgboost", "catboost", "optuna", "shap")
PACKAGES = (*OURS, *TABLES, *LEARNERS, "jinja2")


@dataclass(frozen=True)
class Origin:
    """One artefact: its name, when it was finished, and its facts as (key, value) in the mark's order."""

    name: str
    finished: str
    facts: list[tuple[str, str]]


def origins(run: Run, recipe: str) -> list[Origin]:
    """Return the case table, every network, every feature block and the stack, each with what its mark remembers."""
    marks = {"case table": run.cases_mark}
    marks |= {f"network {name}": run.level1 / name / "run.json" for name in run.networks()}
    marks |= {f"block {path.stem}": path for path in sorted(run.blocks.glob("*.json"))}
    marks |= {f"stack {recipe}": run.level2 / recipe / "run.json"}
    return [Origin(name, _time(path), list(flat(read_json(path)))) for name, path in marks.items()]


def versions() -> list[tuple[str, str]]:
    """Return Python and the packages that matter, with the versions installed now."""
    return [("Python", platform.python_version()), *_installed()]


def machine() -> list[tuple[str, str]]:
    """Return the machine that builds the page: processor, cores, memory, system."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    known = {
        "processor": _processor(),
        "cores": str(os.cpu_count() or ""),
        "memory": f"{memory / 2**30:.0f} GB" if memory else "",
        "system": f"{platform.system()} {platform.machine()}",
    }
    return [(name, value) for name, value in known.items() if value]


def now() -> str:
    """Return the time in UTC to the minute."""
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"


def flat(value: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the leaves of nested JSON as (dotted key, text); lists of plain values stay together."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flat(inner, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
        for place, inner in enumerate(value):
            yield from flat(inner, f"{prefix}.{place}")
    else:
        yield prefix.removeprefix("made_from."), _text(value)


def _text(value: Any) -> str:  # noqa: ANN401  any JSON value
    if isinstance(value, list):
        return ", ".join(_text(each) for each in value) or "none"
    return {None: "none", True: "yes", False: "no"}[value] if value is None or isinstance(value, bool) else str(value)


def _installed() -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        try:
            yield package, metadata.version(package)
        except metadata.PackageNotFoundError:
            continue


def _time(path: Path) -> str:
    return f"{datetime.fromtimestamp(path.stat().st_mtime, UTC):%Y-%m-%d %H:%M} UTC"


def _processor() -> str:
    """Return the processor's name as the kernel gives it, where it does."""
    listing = Path("/proc/cpuinfo")
    if sys.platform != "linux" or not listing.is_file():
        return platform.processor()
    lines = (line.partition(":") for line in listing.read_text(encoding="utf-8").splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == "model name"), platform.processor())
