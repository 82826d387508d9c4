"""Tasks on a Dask cluster: in parallel through joblib, or one fit over all workers; a lost worker loses one task."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any, TypeAlias, TypeVar

from joblib import Parallel, delayed

from runtime.cluster.address import START_HINT
from runtime.errors import Faults, InputFault
from runtime.plural import number_of
from runtime.progress import say

try:
    import dask
    from distributed import Client, KilledWorker, futures_of, wait
    from distributed import Future as DaskFuture
    from distributed.client import FutureCancelledError
    from joblib._dask import DaskDistributedBackend  # subclassed: joblib's "dask" backend can wait for ever

    from runtime.cluster.workers import VISIBLE, Requirements, run_on_worker, worker_facts, worker_faults
except ModuleNotFoundError as error:
    raise InputFault(f"a cluster needs the extra `dask` ({error}): pip install 'melstack[dask]'") from error

Task: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...]]
Result = TypeVar("Result")
CONNECT_SECONDS = 20.0
WORKER_SECONDS = 60.0  # workers that start together with this process need a while to connect
LOST_SECONDS = 5.0
ATTEMPTS = 4  # Dask also runs a task whose workers die four times
RESUME_HINT = "finished work is kept; run the same command again to continue"


class Cluster:
    """A Dask scheduler whose workers meet the requirements of the work."""

    def __init__(self, client: Client, address: str, requirements: Requirements) -> None:
        self.client, self.address, self._requirements = client, address, requirements
        self._facts = requirements.facts()

    def results(self, tasks: Sequence[Task], *, keep_order: bool = False) -> Iterator[Any]:
        """Yield the result of each task when it finishes, or in the order of ``tasks``; raise the first task's error.

        Raises InputFault when the scheduler is lost, or when several workers die while they run the same task.
        """
        calls = [delayed(run_on_worker)(self._requirements, self._facts, *task) for task in tasks]
        order = "generator" if keep_order else "generator_unordered"
        backend = ReportingBackend(client=self.client)
        try:
            outcomes = Parallel(-1, backend=backend, batch_size=1, pre_dispatch="all", return_as=order)(calls)
            yield from map(_value, outcomes)
        except KilledWorker as error:
            hint = "out of memory? read the workers' logs, and start them with --memory-limit 0"
            raise InputFault(f"{self.address}: one task ended several workers ({hint}); {RESUME_HINT}") from error
        except FutureCancelledError as error:
            raise InputFault(f"{self.address}: the scheduler does not answer any more; {RESUME_HINT}") from error

    def share(self, value: Any) -> Any:  # noqa: ANN401  a Dask future of any value
        """Return a Dask future of ``value`` for the arguments of tasks: each worker receives the value once.

        The future is the result of a task, which Dask repeats when workers are lost. A value that is sent with
        ``scatter`` is lost together with the last worker that has it.
        """
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
            return self.client.submit(_same, value, pure=False)

    def run_fit(self, fit: Callable[[Client], Result]) -> Result:
        """Return ``fit(client)``, one fit over all current workers; the fit stops when any worker is lost.

        When a worker is lost, or ``fit`` raises ConnectionError, the other workers are restarted and the fit is
        repeated. Raises InputFault after ``ATTEMPTS`` interrupted fits, or when the scheduler is lost.
        """
        cause: Exception | None = None
        for attempt in range(1, ATTEMPTS + 1):
            _check_workers(self.client, self.address, self._requirements)
            workers = self.worker_addresses()
            try:
                return self._fit_once(fit, workers)
            except Exception as error:
                cause, reason = error, self._recover(error, workers)
            action = "the fit is repeated" if attempt < ATTEMPTS else "that was the last attempt"
            say(f"{self._requirements.level}: a fit over {number_of(len(workers), 'worker')} {reason}; {action}")
        raise InputFault(
            f"{self.address}: a fit over all workers was interrupted {ATTEMPTS} times; {RESUME_HINT}"
        ) from cause

    def _fit_once(self, fit: Callable[[Client], Result], workers: set[str]) -> Result:
        with self.client.as_current(), self._cancel_on_loss(workers):
            return fit(self.client)

    def load(self, frames: Sequence[Any]) -> Sequence[Any]:
        """Load the Dask collections ``frames`` into the workers' memory and return them; raise the first error."""
        collections: Sequence[Any] = self.client.persist(list(frames))
        futures = futures_of(collections)
        wait(futures)
        for future in futures:
            if future.status == "error":
                future.result()
        return collections

    def worker_addresses(self) -> set[str]:
        """Return the addresses of the scheduler's current workers; raise InputFault when the scheduler is lost."""
        # Not scheduler_info(): it shares one variable with the answer to a request that the client sends by itself
        # every two seconds and that names no worker; on a busy machine it returns that answer.
        try:
            return set(self.client.nthreads())
        except (OSError, AttributeError) as error:  # a client that has given up raises AttributeError
            raise InputFault(f"{self.address}: the scheduler does not answer any more; {RESUME_HINT}") from error

    @contextmanager
    def _cancel_on_loss(self, workers: set[str]) -> Iterator[None]:
        """Cancel this client's futures as soon as one of ``workers`` is lost; otherwise the fit would wait for ever."""
        finish = Event()

        def watch() -> None:
            """Check the workers every second until the fit is finished."""
            while not finish.wait(1):
                try:
                    is_complete = self.worker_addresses() >= workers
                except InputFault:
                    is_complete = False
                if not is_complete:
                    self.client.cancel([DaskFuture(key, self.client) for key in list(self.client.futures)], force=True)

        watcher = Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            finish.set()
            watcher.join()

    def _recover(self, error: Exception, workers: set[str]) -> str:
        """Restart the remaining ``workers`` after a lost one and return what happened; raise any other ``error``."""
        lost_workers = [] if isinstance(error, InputFault) else self._wait_for_loss(workers)
        if not lost_workers and not isinstance(error, ConnectionError):
            raise error
        # The remaining workers still wait for the lost one, and may fail because of it.
        self.client.restart_workers(sorted(self.worker_addresses() & workers), raise_for_error=False)
        return f"lost {', '.join(lost_workers)}" if lost_workers else f"was interrupted ({error})"

    def _wait_for_loss(self, workers: set[str]) -> list[str]:
        """Return the lost ones of ``workers``; wait for them, since the fit may fail before Dask notices the loss."""
        until = time.monotonic() + LOST_SECONDS
        while self.worker_addresses() >= workers and time.monotonic() < until:
            time.sleep(0.2)
        return sorted(workers - self.worker_addresses())


@contextmanager
def connect_cluster(address: str, requirements: Requirements) -> Iterator[Cluster]:
    """Yield the cluster of the Dask scheduler at ``address``.

    Raises InputFault when no scheduler or worker answers, or when a worker does not meet the ``requirements``.
    """
    with _connect(address) as client:
        _check_workers(client, address, requirements)
        _wait_for_earlier_tasks(client, requirements.level)
        yield Cluster(client, address, requirements)


class ReportingBackend(DaskDistributedBackend):  # type: ignore[misc]
    """joblib's Dask backend that also reports lost tasks: joblib alone would wait for their results for ever."""

    def effective_n_jobs(self, n_jobs: int) -> int:
        """Return the number of workers, but at least 2: with 1, joblib would run the tasks in this process."""
        return max(2, int(super().effective_n_jobs(n_jobs)))

    def submit(self, func: Any, callback: Callable[[Any], None] | None = None) -> Any:  # noqa: ANN401  joblib's own
        """Submit a batch of tasks; when it fails, call ``callback`` with the error instead of a result."""
        batch = super().submit(func, callback)

        def report_error(future: "Future[Any]") -> None:
            """Call ``callback`` with the error of a failed batch."""
            if callback is not None and not future.cancelled() and future.exception() is not None:
                callback(future.exception())

        batch.add_done_callback(report_error)
        return batch

    def retrieve_result_callback(self, out: Any) -> Any:  # noqa: ANN401  joblib's own
        """Return ``out``, the result of a batch; raise ``out`` if it is an error."""
        if isinstance(out, BaseException):
            raise out
        return super().retrieve_result_callback(out)


def _connect(address: str) -> Client:
    try:
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputFault(f"no Dask scheduler answers at {address} ({error}); {START_HINT}") from error


def _check_workers(client: Client, address: str, requirements: Requirements) -> None:
    try:
        # A command that has asked a queue for workers waits longer (see queue.py).
        client.wait_for_workers(1, timeout=dask.config.get("melstack.worker-seconds", WORKER_SECONDS))
    except TimeoutError as error:
        start = f"start one per GPU: {VISIBLE}=0 dask worker" if requirements.gpu else "start one per core: dask worker"
        raise InputFault(f"the cluster at {address} has no worker; {start} {address} --nthreads 1") from error
    answers = client.run(worker_facts, requirements, on_error="return")
    faults = Faults()
    errors = {worker: answer for worker, answer in answers.items() if isinstance(answer, BaseException)}
    for worker, answer in errors.items():
        faults.add(f"{worker}: {answer!r}; is melstack installed there?")
    facts = {worker: answer for worker, answer in answers.items() if worker not in errors}
    for fault in worker_faults(requirements.facts(), facts):
        faults.add(fault)
    faults.raise_if_any(f"the workers of {address} cannot work on {requirements.run}")


def _wait_for_earlier_tasks(client: Client, level: str) -> None:
    """Wait while a worker still runs a task of an earlier command: two tasks must not write the same fold."""
    is_first_check = True
    while any(run_on_worker.__name__ in str(key) for keys in client.processing().values() for key in keys):
        if is_first_check:
            say(f"{level}: waiting for the cluster to finish the tasks of an earlier command")
        is_first_check = False
        time.sleep(1)


def _value(outcome: tuple[Any, BaseException | None]) -> Any:  # noqa: ANN401  any type of result
    value, error = outcome
    if error is not None:
        raise error
    return value


def _same(value: Any) -> Any:  # noqa: ANN401  any value
    return value
