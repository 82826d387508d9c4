"""What this machine has to give at the moment: free disk, memory within its container's limit, cores."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from runtime.errors import InputFault

GIGABYTE = 10**9
FreeBytes = Annotated[
    int | None,
    typer.Option(
        parser=lambda text: parse_gigabytes(text), metavar="GB", help="plan for a machine that has so many GB free"
    ),
]
NO_LIMIT = 1 << 60  # version 1 of cgroups says "no limit" with a number near 2^63


@dataclass(frozen=True)
class Machine:
    """Bytes and cores that work may take; ``gpu`` is the memory of one GPU, None where there is none."""

    disk: int
    memory: int
    gpu: int | None = None
    cores: int = 1


def parse_gigabytes(gigabytes: str) -> int:
    """Return a number of GB (10^9 bytes) in bytes; raise InputFault for anything else."""
    try:
        count = round(float(gigabytes) * GIGABYTE)
    except (ValueError, OverflowError) as error:
        raise InputFault(f"{gigabytes!r} is not a number of GB") from error
    if count < 0:
        raise InputFault(f"{gigabytes} GB is less than nothing")
    return count


def this_machine(
    folder: Path, *, disk: int | None = None, memory: int | None = None, gpu: int | None = None
) -> Machine:
    """Return what is free now, the disk being the one that ``folder`` is or will be on.

    A number that is given takes the place of what is found: to plan for another machine.
    """
    return Machine(
        disk=free_disk(folder) if disk is None else disk,
        memory=available_memory() if memory is None else memory,
        gpu=gpu,
        cores=os.cpu_count() or 1,
    )


def free_disk(folder: Path) -> int:
    """Return the bytes that are free where ``folder`` is, or would be made."""
    there = next(place for place in (folder.resolve(), *folder.resolve().parents) if place.exists())
    return shutil.disk_usage(there).free


def available_memory(root: Path = Path("/")) -> int:
    """Return the bytes of memory that a new program may take: what the kernel counts as available, within cgroups.

    Pages of files that the kernel can drop count as available. ``root`` holds proc and sys; without proc (macOS) all
    physical memory counts.
    """
    facts = root / "proc" / "meminfo"
    if not facts.is_file():
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    lines = (line.split() for line in facts.read_text(encoding="utf-8").splitlines())
    available = next(int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:")
    return max(0, min([available, *_left_in_groups(root)]))


def _left_in_groups(root: Path) -> list[int]:
    """Return what each cgroup of this process, and each group around it, has left of its limit."""
    listing = root / "proc" / "self" / "cgroup"
    if not listing.is_file():
        return []
    left = []
    for line in listing.read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            top = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        # A container sees its own group as the top, whatever path the kernel calls it by.
        inside = top / path.lstrip("/")
        groups = [inside, *(parent for parent in inside.parents if parent.is_relative_to(top))]
        left += [found for group in groups if (found := _left(group, *names)) is not None]
    return left


def _left(group: Path, limit: str, used: str, droppable: str) -> int | None:
    """Return the bytes that one cgroup has left; None where it has no limit or is not to be seen."""
    most = _number(group / limit)
    if most is None or most >= NO_LIMIT:
        return None
    statistics = group / "memory.stat"
    lines = statistics.read_text(encoding="utf-8").splitlines() if statistics.is_file() else []
    dropped = next((int(line.split()[1]) for line in lines if line.split()[0] == droppable), 0)
    return most - (_number(group / used) or 0) + dropped


def _number(path: Path) -> int | None:
    text = path.read_text(encoding="utf-8").strip() if path.is_file() else "max"
    return None if text == "max" else int(text)
