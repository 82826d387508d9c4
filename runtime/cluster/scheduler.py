"""Tasks on a Dask cluster: side by side through joblib, or one fit over all workers; a lost one costs its task."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any, TypeAlias, TypeVar

from joblib import Parallel, delayed

from runtime.errors import Faults, InputFault
from runtime.progress import say

try:
    import dask
    from distributed import Client, KilledWorker, futures_of, wait
    from distributed import Future as DaskFuture
    from distributed.client import FutureCancelledError
    from joblib._dask import DaskDistributedBackend  # subclassed: the "dask" of parallel_config can wait for ever

    from runtime.cluster.workers import VISIBLE, Requirements, run_on_worker, worker_facts, worker_faults
except ModuleNotFoundError as missing:
    raise InputFault(f"a cluster needs the extra `dask` ({missing}): pip install 'melstack[dask]'") from missing

Task: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...]]
Result = TypeVar("Result")
CONNECT_SECONDS = 20.0
WORKER_SECONDS = 60.0  # workers that were started together with us need a while to connect
LOST_SECONDS = 5.0
ATTEMPTS = 4  # as often as Dask itself tries a task that workers die of
RESUME_HINT = "what is finished is kept; the same command goes on from there"


class Cluster:
    """A Dask scheduler whose workers are fit for the work."""

    def __init__(self, client: Client, address: str, demands: Requirements) -> None:
        self.client, self.address, self._demands = client, address, demands
        self._expected = demands.facts()

    def results(self, tasks: Sequence[Task], *, keep_order: bool = False) -> Iterator[Any]:
        """Yield what the tasks return as they finish, or in their order; raise what the first of them to fail raised.

        Raises InputFault when the scheduler goes away or a task takes worker after worker with it.
        """
        calls = [delayed(run_on_worker)(self._demands, self._expected, *task) for task in tasks]
        order = "generator" if keep_order else "generator_unordered"
        backend = ReportingBackend(client=self.client)
        try:
            outcomes = Parallel(-1, backend=backend, batch_size=1, pre_dispatch="all", return_as=order)(calls)
            yield from map(_value, outcomes)
        except KilledWorker as error:
            hint = "out of memory? see the workers' logs, and start them with --memory-limit 0"
            raise InputFault(f"{self.address}: a task ended worker after worker ({hint}); {RESUME_HINT}") from error
        except FutureCancelledError as error:
            raise InputFault(f"{self.address}: the scheduler is gone; {RESUME_HINT}") from error

    def share(self, value: Any) -> Any:  # noqa: ANN401  a Dask future of any value
        """Return what stands for ``value`` among the arguments of tasks: each worker is sent it once.

        It is the result of a task, not scattered: what is scattered is lost with the last worker that has it.
        """
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
            return self.client.submit(_same, value, pure=False)

    def run_fit(self, fit: Callable[[Client], Result]) -> Result:
        """Return ``fit(client)``, one fit over the workers that are there, which cannot go on without each other.

        When one of them is lost, or ``fit`` raises ConnectionError, the others are restarted and the fit begins anew.
        Raises InputFault when it was cut off several times, or the scheduler is gone.
        """
        cause: Exception | None = None
        for attempt in range(1, ATTEMPTS + 1):
            _check_workers(self.client, self.address, self._demands)
            workers = self.worker_addresses()
            try:
                return self._watched(fit, workers)
            except Exception as error:
                cause, reason = error, self._cut_off_by(error, workers)
            after = "it begins anew" if attempt < ATTEMPTS else "that was the last attempt"
            say(f"{self._demands.level}: a fit over {len(workers)} worker(s) {reason}; {after}")
        raise InputFault(f"{self.address}: {ATTEMPTS} times a fit over workers was cut off; {RESUME_HINT}") from cause

    def _watched(self, fit: Callable[[Client], Result], workers: set[str]) -> Result:
        with self.client.as_current(), self._cancelled_without(workers):
            return fit(self.client)

    def load(self, frames: Sequence[Any]) -> Sequence[Any]:
        """Return Dask's ``frames`` once workers hold them; raise what reading one of them raised."""
        held: Sequence[Any] = self.client.persist(list(frames))
        futures = futures_of(held)
        wait(futures)
        for future in futures:
            if future.status == "error":
                future.result()
        return held

    def worker_addresses(self) -> set[str]:
        """Return the addresses of the workers that the scheduler knows of; raise InputFault where it is gone."""
        # Not scheduler_info(): what it asks for and what the client asks for by itself every two seconds, which names
        # no worker, are kept in one place, and on a busy machine it returns the wrong one of them.
        try:
            return set(self.client.nthreads())
        except (OSError, AttributeError) as error:  # the latter of a client that has given up
            raise InputFault(f"{self.address}: the scheduler is gone; {RESUME_HINT}") from error

    @contextmanager
    def _cancelled_without(self, workers: set[str]) -> Iterator[None]:
        """Cancel what this client waits for as soon as one of ``workers`` is lost: the fit would wait for ever."""
        over = Event()

        def watch() -> None:
            while not over.wait(1):
                try:
                    whole = self.worker_addresses() >= workers
                except InputFault:
                    whole = False
                if not whole:
                    self.client.cancel([DaskFuture(key, self.client) for key in list(self.client.futures)], force=True)

        watching = Thread(target=watch, daemon=True)
        watching.start()
        try:
            yield
        finally:
            over.set()
            watching.join()

    def _cut_off_by(self, error: Exception, workers: set[str]) -> str:
        """Return in words what cut the ``workers`` off, with those that are left restarted; else raise it."""
        lost = [] if isinstance(error, InputFault) else self._lost(workers)
        if not lost and not isinstance(error, ConnectionError):
            raise error
        # Those that are left wait for what is lost, and may fall with it.
        self.client.restart_workers(sorted(self.worker_addresses() & workers), raise_for_error=False)
        return f"lost {', '.join(lost)}" if lost else f"was cut off ({error})"

    def _lost(self, workers: set[str]) -> list[str]:
        """Return those of the ``workers`` that are gone; those that worked with it may know before Dask does."""
        until = time.monotonic() + LOST_SECONDS
        while self.worker_addresses() >= workers and time.monotonic() < until:
            time.sleep(0.2)
        return sorted(workers - self.worker_addresses())


@contextmanager
def connect_cluster(address: str, demands: Requirements) -> Iterator[Cluster]:
    """Yield the cluster of the Dask scheduler at ``address``.

    Raises InputFault when no scheduler or worker answers, or when a worker is not fit for the work (``worker_faults``).
    """
    with _connected(address) as client:
        _check_workers(client, address, demands)
        _wait_for_earlier_tasks(client, demands.level)
        yield Cluster(client, address, demands)


class ReportingBackend(DaskDistributedBackend):  # type: ignore[misc]
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


def _check_workers(client: Client, address: str, demands: Requirements) -> None:
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
    while any(run_on_worker.__name__ in str(key) for keys in client.processing().values() for key in keys):
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
