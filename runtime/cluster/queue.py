"""Workers as jobs of a cluster's queue, by dask-jobqueue: the command starts a scheduler and keeps the jobs alive."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runtime.cluster.address import check_scheduler
from runtime.cluster.queue_settings import NAME, SCHEDULERS, QueueSettings, read_queue_settings
from runtime.errors import InputFault
from runtime.plural import number_of
from runtime.progress import say

CLASSES = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "sge": "SGECluster", "lsf": "LSFCluster"}
PATIENCE = "melstack.worker-seconds"  # in Dask's configuration: how long to wait for the first worker
DAY = 86400.0


@contextmanager
def open_cluster(value: str) -> Iterator[str]:
    """Yield the address of a Dask scheduler: ``value`` itself, or that of a new one whose workers are jobs.

    ``value`` is an address, the name of a queue's program (its settings are in cluster.toml of this folder) or a TOML
    file. The jobs end with the block. Raises InputFault before any job starts if nothing answers at the address, for
    wrong settings, and without the extra ``slurm``.
    """
    if "://" in value:
        check_scheduler(value)
        yield value
        return
    path = Path(NAME) if value in SCHEDULERS else Path(value)
    settings = read_queue_settings(path, value if value in SCHEDULERS else None)
    with _start(settings) as cluster:
        yield cluster.scheduler_address


@contextmanager
def _start(settings: QueueSettings) -> Iterator[Any]:
    try:
        import dask
        import dask_jobqueue
        from dask_jobqueue.local import LocalCluster
    except ModuleNotFoundError as error:
        raise InputFault(f"a queue needs the extra `slurm` ({error}): pip install 'melstack[slurm]'") from error
    kind = getattr(dask_jobqueue, CLASSES.get(settings.scheduler, ""), LocalCluster)
    patience = dask.config.set({PATIENCE: DAY})
    with patience, kind(**job_options(settings)) as cluster:
        # Jobs that reach their end are replaced by new ones.
        cluster.adapt(minimum_jobs=settings.jobs, maximum_jobs=settings.jobs)
        jobs = f"{number_of(settings.jobs, 'job')} of {settings.scheduler}"
        say(f"cluster: {jobs}, {settings.walltime} and {settings.memory} each, wait in the queue")
        yield cluster


def job_options(settings: QueueSettings) -> dict[str, Any]:
    """Return the options of dask-jobqueue's cluster: one worker with one thread per job, which ends before its job."""
    options: dict[str, Any] = {
        "cores": 1,  # threads of the worker: a task has its job's cores to itself
        "processes": 1,
        "memory": settings.memory,
        "interface": settings.interface,
        "job_script_prologue": settings.environment,
        "job_extra_directives": settings.directives(),
        "worker_extra_args": [
            *("--lifetime", f"{settings.lifetime}s", "--lifetime-stagger", f"{settings.stagger}s"),
        ],
    }
    if settings.scheduler == "local":
        return options
    account = "project" if settings.scheduler in ("sge", "lsf") else "account"
    options |= {"queue": settings.queue, account: settings.account, "walltime": settings.walltime}
    return options | ({"job_cpu": settings.cores} if settings.scheduler == "slurm" else {})
