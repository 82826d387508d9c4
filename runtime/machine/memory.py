"""The memory that is ours: what the kernel has to give, within container, scheduler, ulimit and ``--memory``."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import resource
except ModuleNotFoundError:  # Windows
    resource = None  # type: ignore[assignment]

from runtime.errors import InputFault
from runtime.invocation import option
from runtime.machine.cores import allowed_cores
from runtime.progress import say

MAXIMUM = "MELSTACK_MEMORY"  # bytes; ``--memory`` sets it, so that worker processes read it too
NO_LIMIT = 1 << 60  # version 1 of cgroups writes a number near 2^63 for "no limit"
LEAST = 500_000_000  # bytes; the libraries alone take that much
UNITS = {"": 10**9, "MB": 10**6, "GB": 10**9, "TB": 10**12, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}
MEGABYTE = 1 << 20  # as SLURM counts memory


def format_bytes(count: int) -> str:
    """Return a number of bytes as MB or GB."""
    if count < 1e9:
        return f"{count / 1e6:.0f} MB"
    return f"{count / 1e9:.1f} GB"


def bytes_of(text: str) -> int:
    """Return a size such as ``8GB``, ``500 MB``, ``7.5GiB`` or ``8`` (GB) in bytes; raise InputFault for others."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]?i?B?)", text.strip(), re.IGNORECASE)
    unit = "" if match is None else match[2].upper()
    unit = f"{unit}B" if unit in ("M", "G", "T") else unit
    if match is None or unit not in UNITS:
        raise InputFault(f"{option('memory', text)}: not a size such as 8GB, 500MB or 7.5GiB")
    size = round(float(match[1]) * UNITS[unit])
    if size < LEAST:
        raise InputFault(f"{option('memory', text)}: {format_bytes(size)} are too little; at least 500MB are needed")
    return size


@contextmanager
def using_memory(size: int | None) -> Iterator[None]:
    """Count on at most ``size`` bytes of memory until the block ends; None: on all that is ours.

    A size above what is available changes nothing, which is said: what is available differs from minute to minute.
    """
    if size is None:
        yield
        return
    if size > (available := available_memory()):
        say(f"memory: {format_bytes(available)} are available here, less than {option('memory', format_bytes(size))}")
    before = os.environ.get(MAXIMUM)
    os.environ[MAXIMUM] = str(size)
    try:
        yield
    finally:
        os.environ.pop(MAXIMUM)
        if before is not None:
            os.environ[MAXIMUM] = before


def available_memory(root: Path = Path("/")) -> int:
    """Return the bytes of memory that a new program may use: the kernel's MemAvailable, within all limits.

    Limits are those of cgroups, of SLURM's job, of ``ulimit -v`` and of ``--memory``. File pages that the kernel
    can drop count as available. ``root`` is the parent of proc and sys; without proc (macOS) all physical memory counts
    as available.
    """
    return max(0, min([_free_of_machine(root), *_free_in_groups(root), *_limits()]))


def _limits() -> list[int]:
    """Return the bytes that ``--memory``, SLURM and ``ulimit -v`` allow."""
    numbers = {name: int(text) for name, text in os.environ.items() if text.isdecimal()}
    limits = [numbers[MAXIMUM]] if MAXIMUM in numbers else []
    # SLURM writes 0 for all memory of the node.
    if per_node := numbers.get("SLURM_MEM_PER_NODE"):
        limits.append(per_node * MEGABYTE)
    elif per_core := numbers.get("SLURM_MEM_PER_CPU"):
        limits.append(per_core * MEGABYTE * allowed_cores())
    soft = -1 if resource is None else resource.getrlimit(resource.RLIMIT_AS)[0]
    return limits if soft < 0 else [*limits, soft]  # -1: no limit


def _free_of_machine(root: Path) -> int:
    facts = root / "proc" / "meminfo"
    if not facts.is_file():
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    lines = (line.split() for line in facts.read_text(encoding="utf-8").splitlines())
    return next(int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:")


def _free_in_groups(root: Path) -> list[int]:
    """Return the free bytes of each cgroup of this process and of each group that contains it."""
    listing = root / "proc" / "self" / "cgroup"
    if not listing.is_file():
        return []
    free = []
    for line in listing.read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            top = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        # A container sees its own group as the top one, even if the kernel lists it under another path.
        inside = top / path.lstrip("/")
        groups = [inside, *(parent for parent in inside.parents if parent.is_relative_to(top))]
        free += [count for group in groups if (count := _free_in_group(group, *names)) is not None]
    return free


def _free_in_group(group: Path, limit_file: str, usage_file: str, droppable_key: str) -> int | None:
    """Return the free bytes of one cgroup; None when it has no limit or its files are not visible here."""
    limit = _number(group / limit_file)
    if limit is None or limit >= NO_LIMIT:
        return None
    statistics = group / "memory.stat"
    lines = statistics.read_text(encoding="utf-8").splitlines() if statistics.is_file() else []
    droppable = next((int(line.split()[1]) for line in lines if line.split()[0] == droppable_key), 0)
    return limit - (_number(group / usage_file) or 0) + droppable


def _number(path: Path) -> int | None:
    text = path.read_text(encoding="utf-8").strip() if path.is_file() else "max"
    return None if text == "max" else int(text)
