"""Pools of worker processes, one per core that is ours; a worker that is killed costs its task a second attempt."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, TypeVar

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky import process_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from runtime.machine.cores import allowed_cores
from runtime.machine.memory import available_memory
from runtime.progress import say

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
DISK_THREADS = 8  # they need no core of their own
ChunkWork = Callable[[Sequence[Item]], Sequence[Outcome]]


def open_pool(processes: int | None = None, **options: Any) -> Parallel:  # noqa: ANN401  joblib's own options
    """Return joblib's ``Parallel`` of so many processes (None: one per core that is ours); one is this process.

    The libraries of each worker use its share of the cores. ``options`` are those of ``Parallel``.
    """
    cores = allowed_cores()
    count = cores if processes is None else processes
    if count == 1:
        return Parallel(n_jobs=1, **options)
    with parallel_config(backend="loky", inner_max_num_threads=max(1, cores // count)):
        return Parallel(n_jobs=count, initializer=_allow_growth, **options)


def _allow_growth() -> None:
    """Let this worker grow to its share of the memory before loky replaces it, with a warning, as one that leaks.

    loky allows 300 MB above what a worker had after its first task. That task may be an empty one or a picture; the
    learners' libraries, the table, which all workers share, and the heap of a fit are 360 MB more at 33,126 rows.
    """
    share = available_memory() // allowed_cores()
    process_executor._MAX_MEMORY_LEAK_SIZE = max(process_executor._MAX_MEMORY_LEAK_SIZE, share)


def open_threads(files: int) -> Parallel:
    """Return joblib's ``Parallel`` of threads that wait for the disk, as for the headers of so many ``files``."""
    return Parallel(n_jobs=max(1, min(files, DISK_THREADS)), prefer="threads")


def map_chunks(
    work: ChunkWork[Item, Outcome],
    chunks: Sequence[Sequence[Item]],
    replacement: Callable[[Item], Outcome],
    processes: int | None = None,
) -> Iterator[Sequence[Outcome]]:
    """Yield ``work(chunk)`` for every chunk in order, one result per item, even when worker processes are killed.

    The first time, new processes do the rest of the work. The second time in a row, each of the next chunks is computed
    by a process of its own, and an item that ends it has ``replacement(item)`` as its result.
    """
    count, failures = 0, 0
    while count < len(chunks):
        begin = count
        for outcomes in _until_a_kill(work, chunks[begin:], processes):
            count += 1
            yield outcomes
        if count < len(chunks):
            failures = failures + 1 if count == begin else 1
            remedy = "its work is tried again" if failures == 1 else "the next part is done by one process"
            say(f"a worker process was killed (out of memory?); {remedy}")
        if failures > 1:
            suspects = 2 * (processes or allowed_cores())  # joblib has given out so many
            yield from (_apart(work, chunk, replacement) for chunk in chunks[count : count + suspects])
            count, failures = count + suspects, 0


def _until_a_kill(
    work: ChunkWork[Item, Outcome], chunks: Sequence[Sequence[Item]], processes: int | None
) -> Iterator[Sequence[Outcome]]:
    """Yield ``work(chunk)`` for every chunk in order; end early when a worker process is killed."""
    try:
        yield from open_pool(processes, return_as="generator")(delayed(work)(chunk) for chunk in chunks)
    except TerminatedWorkerError:
        return


def _apart(
    work: ChunkWork[Item, Outcome], chunk: Sequence[Item], replacement: Callable[[Item], Outcome]
) -> Sequence[Outcome]:
    """Return ``work(chunk)``, computed in another process; if it is killed, one item after the other."""
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            return process.submit(work, chunk).result()
    except BrokenProcessPool:
        if len(chunk) == 1:
            return [replacement(chunk[0])]
    return [outcome for item in chunk for outcome in _apart(work, [item], replacement)]
