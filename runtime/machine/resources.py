"""The resources of this machine at the moment: free disk, memory and cores that are ours."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from runtime.machine.cores import allowed_cores
from runtime.machine.memory import available_memory

GIGABYTE = 10**9


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
        cores=allowed_cores(),
    )


def free_disk(folder: Path) -> int:
    """Return the free bytes of the disk of ``folder``, or of its nearest existing parent."""
    existing = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    return shutil.disk_usage(existing).free
