"""The resources of this machine at the moment: free disk, free memory within its container's limit, cores."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

GIGABYTE = 10**9
NO_LIMIT = 1 << 60  # version 1 of cgroups writes a number near 2^63 for "no limit"


@dataclass(frozen=True)
class Machine:
    """The bytes of disk and memory and the cores that work may use; ``gpu``: bytes of one GPU, None without a GPU."""

    disk: int
    memory: int
    gpu: int | None = None
    cores: int = 1


def this_machine(
    folder: Path, *, disk: int | None = None, memory: int | None = None, gpu: int | None = None
) -> Machine:
    """Return the resources that are free now, on the disk that ``folder`` is or will be on.

    ``disk`` and ``memory`` (bytes) replace the measured values, to plan for another machine.
    """
    return Machine(
        disk=free_disk(folder) if disk is None else disk,
        memory=available_memory() if memory is None else memory,
        gpu=gpu,
        cores=os.cpu_count() or 1,
    )


def free_disk(folder: Path) -> int:
    """Return the free bytes of the disk of ``folder``, or of its nearest existing parent."""
    existing = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    return shutil.disk_usage(existing).free


def available_memory(root: Path = Path("/")) -> int:
    """Return the bytes of memory that a new program may use: the kernel's MemAvailable, within the limits of cgroups.

    File pages that the kernel can drop count as available. ``root`` is the parent of proc and sys; without proc (macOS)
    all physical memory counts as available.
    """
    facts = root / "proc" / "meminfo"
    if not facts.is_file():
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    lines = (line.split() for line in facts.read_text(encoding="utf-8").splitlines())
    available = next(int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:")
    return max(0, min([available, *_free_in_groups(root)]))


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
