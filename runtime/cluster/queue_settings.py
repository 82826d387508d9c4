"""cluster.toml: what a cluster with a queue is asked for, by jobs of Dask workers and by job arrays."""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from runtime.errors import InputFault
from runtime.machine.memory import bytes_of
from runtime.settings import Settings, read_settings

NAME = "cluster.toml"
SCHEDULERS = ("slurm", "pbs", "sge", "lsf", "local")
EXAMPLE = 'queue = "gpu", walltime = "12:00:00", memory = "16GB", cores = 4, gpus = 1, jobs = 8'
WALLTIME = re.compile(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)")
# A worker ends so much before its walltime, by itself: its task is then given to another one at once.
MARGIN, SHARE = 300, 0.1  # seconds; at most this share of the walltime


class QueueSettings(Settings):
    """One job of the cluster, and the number of jobs at the same time.

    ``scheduler`` is the program of the queue; "local" starts the jobs as processes of this machine, to try it.
    ``environment`` are shell lines before the work, such as ``module load cuda``; ``options`` are further options of
    the scheduler's directives, such as ``--constraint=a100``. ``interface`` is the network between the jobs, as ib0.
    """

    scheduler: Literal["slurm", "pbs", "sge", "lsf", "local"] = (
        "slurm"  # the program of the queue; local: processes of this machine, to try the file
    )
    walltime: str  # the longest time of a job, such as 12:00:00 or 2-00:00:00
    memory: str  # of one job, such as 16GB
    queue: str | None = None  # the partition; none: the cluster's default
    account: str | None = None  # that the jobs are charged to
    cores: int = Field(1, ge=1)  # of one job
    gpus: int = Field(0, ge=0)  # of one job
    jobs: int = Field(4, ge=1)  # at the same time
    environment: list[str] = Field(default_factory=list)  # shell lines before the work: module load cuda
    options: list[str] = Field(default_factory=list)  # further directives of the queue: --constraint=a100
    interface: str | None = None  # network between the jobs and the command: ib0

    @field_validator("walltime")
    @classmethod
    def _check_walltime(cls, value: str) -> str:
        if not WALLTIME.fullmatch(value) or _seconds(value) < 60:
            raise ValueError("must be hours:minutes:seconds of at least a minute, such as 12:00:00 or 2-00:00:00")
        return value

    @field_validator("memory")
    @classmethod
    def _check_memory(cls, value: str) -> str:
        bytes_of(value)
        return value

    @property
    def seconds(self) -> int:
        """The seconds of the walltime."""
        return _seconds(self.walltime)

    @property
    def lifetime(self) -> int:
        """The seconds after which a worker ends by itself, below the walltime even with its stagger."""
        return self.seconds - 2 * self.stagger

    @property
    def stagger(self) -> int:
        """The seconds by which the ends of workers differ, so that not all leave at once."""
        return round(min(MARGIN, SHARE * self.seconds))

    def directives(self) -> list[str]:
        """Return the options of the scheduler that are not settings of their own: GPUs and ``options``."""
        return [*([f"--gres=gpu:{self.gpus}"] if self.gpus and self.scheduler == "slurm" else []), *self.options]


def read_queue_settings(path: Path, scheduler: str | None = None) -> QueueSettings:
    """Return the settings in ``path``, for ``scheduler`` if it is given; raise InputFault for a wrong one."""
    if not path.is_file():
        raise InputFault(f"{path}: no such file; it says what a job is given: {EXAMPLE}")
    settings = read_settings(path, QueueSettings)
    return settings if scheduler is None else settings.model_copy(update={"scheduler": scheduler})


def _seconds(walltime: str) -> int:
    match = WALLTIME.fullmatch(walltime)
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0, 0)
    return 86400 * days + 3600 * hours + 60 * minutes + seconds
