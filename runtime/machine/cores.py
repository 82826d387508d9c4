"""The processor cores that are ours, by affinity, container, scheduler and ``--cores``: the only count."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext

from runtime.errors import InputFault
from runtime.invocation import option
from runtime.plural import number_of

MAXIMUM = "LOKY_MAX_CPU_COUNT"  # joblib's own variable: worker processes and other libraries read it too
# The cores of one task on this machine, as schedulers state them; a site may enforce them by nothing else.
OF_SCHEDULERS = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE", "NSLOTS", "LSB_DJOB_NUMPROC", "PBS_NUM_PPN")
# Threads of OpenMP (LightGBM, XGBoost, scikit-learn, Arrow), of three libraries of linear algebra, and of TensorFlow.
OF_LIBRARIES = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"),
    *("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
)


def allowed_cores() -> int:
    """Return the number of cores that this process and its workers may use, at least 1.

    It is the least of the process's affinity, the quota of its container (cgroups), LOKY_MAX_CPU_COUNT, which
    ``--cores`` sets, and the cores that a scheduler such as SLURM has given to this task.
    """
    from joblib import cpu_count  # it imports NumPy, which a command with a wrong option does not need

    counts = [int(os.environ[name]) for name in OF_SCHEDULERS if os.environ.get(name, "").isdecimal()]
    return max(1, min([int(cpu_count()), *counts[:1]]))


@contextmanager
def using_cores(count: int | None) -> Iterator[None]:
    """Use ``count`` cores (None: all that are ours) until the block ends: this process, its workers, its libraries.

    Raises InputFault for fewer than one core, and for more than are ours.
    """
    before = {name: os.environ.get(name) for name in (MAXIMUM, *OF_LIBRARIES)}
    most = allowed_cores()
    _check(count, most)
    threads = count or most
    is_limited = count is not None or threads < _cores_of_libraries()
    try:
        with _limit_libraries(threads) if is_limited else nullcontext():
            yield
    finally:
        _restore(before)


def _check(count: int | None, most: int) -> None:
    if count is not None and count < 1:
        raise InputFault(f"{option('cores', count)}: at least one core is needed")
    if count is not None and count > most:
        raise InputFault(
            f"{option('cores', count)}: {number_of(most, 'core')} can be used here (affinity, container, "
            f"scheduler); use {option('cores', most)}, or leave it out"
        )


def _cores_of_libraries() -> int:
    """Return the number of threads that libraries start by themselves: they know the affinity and nothing else."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


@contextmanager
def _limit_libraries(count: int) -> Iterator[None]:
    """Limit the threads of libraries, by their variables, and of those that have read them already."""
    from threadpoolctl import threadpool_limits

    os.environ[MAXIMUM] = str(count)
    for name in OF_LIBRARIES:
        os.environ.setdefault(name, str(count))
    with threadpool_limits(limits=count):
        yield


def _restore(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
