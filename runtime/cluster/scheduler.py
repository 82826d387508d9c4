"""Tasks on a Dask cluster: side by side through joblib, or all together in one fit; a lost worker costs its task."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, TypeAlias

from joblib import Parallel, delayed

from runtime.errors import Faults, InputFault
from runtime.progress import say

try:
    import dask
    from distributed import Client, KilledWorker, wait
    from distributed.client import FutureCancelledError
    from distributed.comm import get_address_host
    from distributed.utils import get_ip
    from joblib._dask import DaskDistributedBackend  # subclassed: the "dask" of parallel_config can wait for ever

    from features.free_ports import port_of_worker
    from features.meeting import Meeting
    from runtime.cluster.workers import VISIBLE, Demands, at_worker, worker_facts, worker_faults
except ModuleNotFoundError as missing:
    raise InputFault(f"a cluster needs the extra `dask` ({missing}): pip install 'melstack[dask]'") from missing

Task: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...]]
Meet: TypeAlias = Callable[["Cluster", Sequence[str]], AbstractContextManager[Sequence[Any]]]
CONNECT_SECONDS = 20.0
WORKER_SECONDS = 60.0  # workers that were started together with us need a while to connect
LOST_SECONDS = 5.0
ATTEMPTS = 4  # as often as Dask itself tries a task that workers die of
AGAIN = "what is finished is kept; the same command goes on from there"


class Cluster:
    """A Dask scheduler whose workers are fit for the work."""

    def __init__(self, client: Client, address: str, demands: Demands) -> None:
        self.client, self.address, self._demands = client, address, demands
        self._expected = demands.facts()

    def results(self, tasks: Sequence[Task], *, ordered: bool = False) -> Iterator[Any]:
        """Yield what the tasks return as they finish, or in their order; raise what the first of them to fail raised.

        Raises InputFault when the scheduler goes away or a task takes worker after worker with it.
        """
        calls = [delayed(at_worker)(self._demands, self._expected, *task) for task in tasks]
        order = "generator" if ordered else "generator_unordered"
        backend = PatientBackend(client=self.client)
        try:
            outcomes = Parallel(-1, backend=backend, batch_size=1, pre_dispatch="all", return_as=order)(calls)
            yield from map(_value, outcomes)
        except KilledWorker as error:
            hint = "out of memory? see the workers' logs, and start them with --memory-limit 0"
            raise InputFault(f"{self.address}: a task ended worker after worker ({hint}); {AGAIN}") from error
        except FutureCancelledError as error:
            raise InputFault(f"{self.address}: the scheduler is gone; {AGAIN}") from error

    def hold(self, value: Any) -> Any:  # noqa: ANN401  a Dask future of any value
        """Return what stands for ``value`` among the arguments of tasks: each worker is sent it once.

        It is the result of a task, not scattered: what is scattered is lost with the last worker that has it.
        """
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
            return self.client.submit(_same, value, pure=False)

    def together(self, task: Callable[..., Any], parts: Sequence[Any], meet: Meet) -> Any:  # noqa: ANN401
        """Do ``task(part, place)`` for all ``parts`` at once, each on its own worker; return what the first returns.

        ``meet`` is given this cluster and the workers' addresses, and yields each one's ``place`` among the others.
        Workers cannot go on without each other: when one is lost, or a ``task`` raises ConnectionError, all begin anew
        with those that are there. Raises InputFault when there are fewer workers than parts, or when they were cut off
        several times.
        """
        cause: Exception | None = None
        for attempt in range(1, ATTEMPTS + 1):
            chosen = self.workers(len(parts))
            try:
                return self._all_at_once(task, parts, meet, chosen)
            except Exception as error:
                cause, reason = error, self._cut_off_by(error, chosen)
            after = "it begins anew" if attempt < ATTEMPTS else "that was the last attempt"
            say(f"{self._demands.level}: a fit over {len(parts)} workers {reason}; {after}")
        raise InputFault(f"{self.address}: {ATTEMPTS} times a fit over workers was cut off; {AGAIN}") from cause

    def alive(self) -> set[str]:
        """Return the addresses of the workers that the scheduler knows of at this moment."""
        # Not scheduler_info(): what it asks for and what the client asks for by itself every two seconds, which names
        # no worker, are kept in one place, and on a busy machine it returns the wrong one of them.
        return set(self.client.nthreads())

    def ports(self, workers: Sequence[str]) -> list[tuple[str, int]]:
        """Return (host, a port that is free there) of each of the ``workers``."""
        found = self.client.run(port_of_worker, list(workers), workers=list(workers))
        return [(get_address_host(worker), found[worker]) for worker in workers]

    def meeting(self, count: int) -> Meeting:
        """Return where ``count`` workers of a fit wait for each other before they connect."""
        return Meeting(count)

    def own_host(self) -> str:
        """Return the address of this machine as the scheduler's network knows it."""
        return str(get_ip(get_address_host(self.client.scheduler.address)))

    def workers(self, count: int) -> list[str]:
        """Return the addresses of ``count`` workers; wait for them for a while, else raise InputFault."""
        try:
            self.client.wait_for_workers(count, timeout=WORKER_SECONDS)
        except TimeoutError as error:
            there = len(self.alive())
            raise InputFault(f"{self.address}: {count} parts take as many workers, and {there} are there") from error
        return sorted(self.alive())[:count]

    def _all_at_once(self, task: Callable[..., Any], parts: Sequence[Any], meet: Meet, chosen: Sequence[str]) -> Any:  # noqa: ANN401
        client = self.client
        with meet(self, chosen) as places:
            # Each part goes to its own worker; should that die, all are sent anew.
            held = [client.scatter(part, workers=[w], hash=False) for part, w in zip(parts, chosen, strict=True)]
            futures = [
                client.submit(at_worker, self._demands, self._expected, task, given, workers=[worker], pure=False)
                for given, worker in zip(zip(held, places, strict=True), chosen, strict=True)
            ]
            try:
                self._wait_for_all(futures, chosen)
                return _value(futures[0].result())
            finally:
                client.cancel(futures, force=True)

    def _wait_for_all(self, futures: Sequence[Any], chosen: Sequence[str]) -> None:
        """Return when all are finished; raise what one of them raised, or that a worker is lost."""
        pending = set(futures)
        while pending:
            done = {future for future in pending if future.done()}
            for future in done:
                _value(future.result())
            pending -= done
            if pending and not self.alive().issuperset(chosen):
                raise ConnectionError("a worker is lost")
            with suppress(TimeoutError), self.client.as_current():
                wait(pending, timeout=1, return_when="FIRST_COMPLETED")

    def _cut_off_by(self, error: Exception, chosen: Sequence[str]) -> str:
        """Return in words what cut the ``chosen`` workers off, with those that are left restarted; else raise it."""
        lost = [] if isinstance(error, InputFault) else self._lost(chosen)
        self._renew(chosen)
        if lost:
            return f"lost {', '.join(lost)}"
        if isinstance(error, ConnectionError):
            return f"was cut off ({error})"
        raise error

    def _lost(self, chosen: Sequence[str]) -> list[str]:
        """Return those of the ``chosen`` workers that are gone; those that worked with it may know before Dask does."""
        until = time.monotonic() + LOST_SECONDS
        while self.alive().issuperset(chosen) and time.monotonic() < until:
            time.sleep(0.2)
        return sorted(set(chosen) - self.alive())

    def _renew(self, chosen: Sequence[str]) -> None:
        """Restart those of the ``chosen`` workers that are left: they wait for what is lost, and may fall with it."""
        self.client.restart_workers(sorted(self.alive().intersection(chosen)), raise_for_error=False)


@contextmanager
def opened(address: str, demands: Demands) -> Iterator[Cluster]:
    """Yield the cluster of the Dask scheduler at ``address``.

    Raises InputFault when no scheduler or worker answers, or when a worker is not fit for the work (``worker_faults``).
    """
    with _connected(address) as client:
        _check_workers(client, address, demands)
        _wait_for_earlier_tasks(client, demands.level)
        yield Cluster(client, address, demands)


class PatientBackend(DaskDistributedBackend):  # type: ignore[misc]
    """joblib's Dask backend, told of tasks that are lost as well: joblib would wait for their results for ever."""

    def effective_n_jobs(self, n_jobs: int) -> int:
        """Return how many workers there are, two at least: with one, joblib does the work in this process instead."""
        return max(2, int(super().effective_n_jobs(n_jobs)))

    def submit(self, func: Any, callback: Callable[[Any], None] | None = None) -> Any:  # noqa: ANN401  joblib's own
        """Submit a batch; call back with the error where Dask gives one instead of a result."""
        submitted = super().submit(func, callback)

        def tell(future: "Future[Any]") -> None:
            if callback is not None and not future.cancelled() and future.exception() is not None:
                callback(future.exception())

        submitted.add_done_callback(tell)
        return submitted

    def retrieve_result_callback(self, out: Any) -> Any:  # noqa: ANN401  joblib's own
        """Return a result; raise what came in its place."""
        if isinstance(out, BaseException):
            raise out
        return super().retrieve_result_callback(out)


def _connected(address: str) -> Client:
    try:
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        hint = "start one with `dask scheduler` and give its address, such as tcp://host:8786"
        raise InputFault(f"no Dask scheduler answers at {address} ({error}); {hint}") from error


def _check_workers(client: Client, address: str, demands: Demands) -> None:
    try:
        client.wait_for_workers(1, timeout=WORKER_SECONDS)
    except TimeoutError as error:
        one = f"start one per GPU: {VISIBLE}=0 dask worker" if demands.gpu else "start one per core: dask worker"
        raise InputFault(f"the cluster at {address} has no worker; {one} {address} --nthreads 1") from error
    answers = client.run(worker_facts, demands, on_error="return")
    faults = Faults()
    silent = {worker: answer for worker, answer in answers.items() if isinstance(answer, BaseException)}
    for worker, answer in silent.items():
        faults.add(f"{worker}: {answer!r}; is melstack installed there?")
    for fault in worker_faults(demands.facts(), {name: a for name, a in answers.items() if name not in silent}):
        faults.add(fault)
    faults.raise_if_any(f"the workers of {address} cannot work on {demands.run}")


def _wait_for_earlier_tasks(client: Client, level: str) -> None:
    """Wait while a worker is still at a task of an earlier attempt: two must not write the same fold."""
    said = False
    while any(at_worker.__name__ in str(key) for keys in client.processing().values() for key in keys):
        if not said:
            say(f"{level}: waiting for the cluster to finish what an earlier attempt gave it")
        said = True
        time.sleep(1)


def _value(outcome: tuple[Any, BaseException | None]) -> Any:  # noqa: ANN401  whatever the task returns
    value, error = outcome
    if error is not None:
        raise error
    return value


def _same(value: Any) -> Any:  # noqa: ANN401  any value
    return value
