"""Tasks on a Dask cluster through joblib: on workers that see the same run and run the same code, one GPU each."""

import os
import pickle
import platform
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeAlias

from distributed import Client, KilledWorker, get_worker
from distributed.client import FutureCancelledError
from joblib import Parallel, delayed, parallel_config
from joblib._dask import DaskDistributedBackend  # subclassed: the "dask" that parallel_config knows can wait for ever

from features.faults import Faults, InputFault
from features.progress import say
from features.provenance import digest_of_code, digest_of_file

Task: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...]]
VISIBLE = "CUDA_VISIBLE_DEVICES"
CONNECT_SECONDS = 20.0
WORKER_SECONDS = 60.0  # workers that were started together with us need a while to connect
PACKAGES = ("tensorflow", "keras", "numpy", "scikit-learn", "onnxruntime")
SOURCES = Path(__file__).resolve().parents[1]
WHAT = {"run": "the run's case table", "code": "melstack's code"}  # of a worker's facts, in words


def run_on_cluster(address: str, run: Path, stages: Sequence[Sequence[Task]]) -> None:
    """Do every task of a stage, then those of the next, on the workers of the Dask scheduler at ``address``.

    A task is a function of a module and its arguments; the line it returns is said when it is finished. ``run`` is the
    run's folder, absolute, and the same for all. Raises InputFault when no scheduler or worker answers, when a worker
    is not fit for the work (see ``worker_faults``), when the scheduler goes away or a task takes worker after worker
    with it; otherwise the error of a task as it is. What is finished stays finished.
    """
    with _connected(address) as client:
        _check_workers(client, address, run)
        _wait_for_earlier_tasks(client)
        expected = facts(run)
        for stage in stages:
            _do_all(client, address, [(_at_worker, (expected, run, *task)) for task in stage])


def facts(run: Path) -> dict[str, str]:
    """Return what must be the same for everybody who works on ``run``: its cases, our code, Python and packages."""
    cases = run / "cases.parquet"
    found = {"run": digest_of_file(cases) if cases.is_file() else f"absent ({cases})", "code": _code()}
    return found | {"python": platform.python_version()} | {package: _version(package) for package in PACKAGES}


def worker_faults(expected: Mapping[str, str], workers: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return what makes each of the ``workers`` (address -> facts, threads, host, gpu) unfit for the work.

    Each must have the ``expected`` facts and one thread, since TensorFlow's state is its process', and no two of one
    host the same GPU.
    """
    found = []
    owner: dict[tuple[str, str], str] = {}
    for address, worker in workers.items():
        differing = [key for key in expected if worker[key] != expected[key]]
        found += [f"{address}: {WHAT.get(k, k)} is {worker[k]} there, {expected[k]} here" for k in differing]
        if worker["threads"] != "1":
            found.append(f"{address}: {worker['threads']} threads; start it with --nthreads 1")
        place = (worker["host"], worker["gpu"])
        if worker["gpu"] and place in owner:
            found.append(f"{address}: has GPU {worker['gpu']} like {owner[place]}; give each {VISIBLE}=<one number>")
        owner.setdefault(place, address)
    return found


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


def _check_workers(client: Client, address: str, run: Path) -> None:
    try:
        client.wait_for_workers(1, timeout=WORKER_SECONDS)
    except TimeoutError as error:
        hint = f"start one per GPU: {VISIBLE}=0 dask worker {address} --nthreads 1"
        raise InputFault(f"the cluster at {address} has no worker; {hint}") from error
    answers = client.run(_worker_facts, run, on_error="return")
    faults = Faults()
    silent = {worker: answer for worker, answer in answers.items() if isinstance(answer, BaseException)}
    for worker, answer in silent.items():
        faults.add(f"{worker}: {answer!r}; is melstack installed there?")
    for fault in worker_faults(facts(run), {name: a for name, a in answers.items() if name not in silent}):
        faults.add(fault)
    faults.raise_if_any(f"the workers of {address} cannot work on {run}")


def _worker_facts(run: Path, dask_worker: Any) -> dict[str, str]:  # noqa: ANN401  Dask gives it under this name
    """Return what this worker is like, and let it see one GPU alone."""
    visible = os.environ.get(VISIBLE)
    if visible is None:
        gpu = "0" if next(Path("/dev").glob("nvidia[0-9]*"), None) else ""
    else:
        # dask-cuda shows every worker all GPUs, its own first.
        gpu = os.environ[VISIBLE] = visible.split(",")[0]
    return facts(run) | {"threads": str(dask_worker.state.nthreads), "host": platform.node(), "gpu": gpu}


def _wait_for_earlier_tasks(client: Client) -> None:
    """Wait while a worker is still at a task of an earlier attempt: two must not write the same fold."""
    said = False
    while any(_at_worker.__name__ in str(key) for keys in client.processing().values() for key in keys):
        if not said:
            say("level one: waiting for the cluster to finish what an earlier attempt gave it")
        said = True
        time.sleep(1)


def _do_all(client: Client, address: str, tasks: Sequence[Task]) -> None:
    """Say what tasks return as they finish; say in words what happens to a cluster."""
    again = "what is finished is kept; the same command goes on from there"
    try:
        for line in _results(client, tasks):
            say(line)
    except KilledWorker as error:
        hint = "out of memory? see the workers' logs, and start them with --memory-limit 0"
        raise InputFault(f"{address}: a task ended worker after worker ({hint}); {again}") from error
    except FutureCancelledError as error:
        raise InputFault(f"{address}: the scheduler is gone; {again}") from error


def _results(client: Client, tasks: Sequence[Task]) -> Iterator[str]:
    """Yield the lines that tasks return as they finish; raise what the first of them to fail raised."""
    calls = [delayed(task)(*arguments) for task, arguments in tasks]
    with parallel_config(backend=PatientBackend(client=client), n_jobs=-1):
        outcomes = Parallel(batch_size=1, pre_dispatch="all", return_as="generator_unordered")(calls)
        for line, error in outcomes:
            yield from _lines(line, error)


def _lines(line: str | None, error: BaseException | None) -> list[str]:
    if error is not None:
        raise error
    return [line] if line else []


def _at_worker(
    expected: Mapping[str, str], run: Path, task: Callable[..., str | None], arguments: tuple[Any, ...]
) -> tuple[str | None, BaseException | None]:
    """Return what the task returns, or what it raises: as a value, since an error that cannot be sent is lost."""
    try:
        # Workers may join at any time: this one may not be among those that were asked before.
        worker = get_worker()
        faults = worker_faults(expected, {worker.address: _worker_facts(run, worker)})
        if faults:
            raise InputFault("\n".join(faults))
        # A worker has one core or GPU of its own: what its task does in parallel must not go to the cluster as well.
        with parallel_config(backend="sequential"):
            return task(*arguments), None
    except Exception as error:
        return None, _sendable(error)


def _sendable(error: Exception) -> Exception:
    error.add_note(f"on the worker {get_worker().address}:\n{traceback.format_exc()}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
    return error


@lru_cache(maxsize=1)
def _code() -> str:
    """Return a digest of our code as this process knows it: a worker that was started before a change is told so."""
    return digest_of_code(path for package in ("features", "level1_cnn") for path in (SOURCES / package).rglob("*.py"))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
