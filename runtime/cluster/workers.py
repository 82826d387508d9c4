"""The workers of a cluster: their properties, whether they meet a run's requirements, and how they run a task."""

import os
import pickle
import platform
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import fsspec
from distributed import get_worker
from joblib import parallel_config

from runtime.errors import InputFault
from runtime.provenance import digest, digest_of_code, digest_of_file

VISIBLE = "CUDA_VISIBLE_DEVICES"
SOURCES = Path(__file__).resolve().parents[2]
FACT_NAMES = {
    "run": "the run's case table",
    "table": "the list of files in the table's folder",
    "code": "melstack's code",
}


Value = TypeVar("Value")


@dataclass(frozen=True)
class Requirements:
    """What must be equal on this machine and on all workers: the cases of ``run``, our code, libraries and Python.

    ``code`` lists our packages, ``packages`` the libraries. ``level`` is the name of the work in printed messages. With
    ``gpu`` every worker needs its own GPU.
    """

    level: str
    run: Path | str  # absolute, and the same path on all machines
    code: tuple[str, ...]
    packages: tuple[str, ...]
    gpu: bool = False

    def facts(self) -> dict[str, str]:
        """Return digests and versions in this process by name: they must be equal on all machines."""
        facts = {**self.data_facts(), "code": _code(self.code)}
        return facts | {"python": platform.python_version()} | {name: _version(name) for name in self.packages}

    def data_facts(self) -> dict[str, str]:
        """Return the digest of the run's case table as this process sees it."""
        cases = Path(self.run) / "cases.parquet"
        return {"run": digest_of_file(cases) if cases.is_file() else f"absent ({cases})"}


@dataclass(frozen=True)
class TableRequirements(Requirements):
    """Requirements of a table: ``run`` is the folder of the table, on any file system that fsspec knows."""

    def data_facts(self) -> dict[str, str]:
        """Return the digest of the folder's file names and sizes; contents would take too long before every task."""
        try:
            system, root = fsspec.url_to_fs(str(self.run))
            files = [entry for entry in system.ls(root, detail=True) if entry["type"] == "file"]
        except (ImportError, ValueError, OSError) as error:
            return {"table": f"absent ({error})"}
        return {"table": digest(sorted((file["name"].rsplit("/", 1)[-1], file["size"]) for file in files))}


def worker_faults(expected: Mapping[str, str], workers: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return messages on the ``workers`` (address -> facts, threads, host, gpu) that cannot do the work.

    A worker needs the ``expected`` facts and exactly one thread, since TensorFlow's state and the boosters' number of
    threads belong to the whole process. Two workers of one host must not use the same GPU.
    """
    messages = []
    owners: dict[tuple[str, str], str] = {}
    for address, worker in workers.items():
        keys = [key for key in expected if worker[key] != expected[key]]
        messages += [f"{address}: {FACT_NAMES.get(k, k)} is {worker[k]} there, {expected[k]} here" for k in keys]
        if worker["threads"] != "1":
            messages.append(f"{address}: {worker['threads']} threads; start it with --nthreads 1")
        gpu = (worker["host"], worker["gpu"])
        if worker["gpu"] and gpu in owners:
            messages.append(f"{address}: has GPU {worker['gpu']} like {owners[gpu]}; give each {VISIBLE}=<one number>")
        owners.setdefault(gpu, address)
    return messages


def worker_facts(requirements: Requirements, dask_worker: Any) -> dict[str, str]:  # noqa: ANN401  Dask's parameter name
    """Return the properties of this worker; if the work needs a GPU, make a single GPU visible to its process."""
    gpu = _own_gpu() if requirements.gpu else ""
    return requirements.facts() | {"threads": str(dask_worker.state.nthreads), "host": platform.node(), "gpu": gpu}


def run_on_worker(
    requirements: Requirements, expected: Mapping[str, str], task: Callable[..., Any], arguments: tuple[Any, ...]
) -> tuple[Any, BaseException | None]:
    """Run ``task(*arguments)`` and return (result, None), or (None, error) if it raises.

    Errors are returned, because Dask would lose those that cannot be pickled. The error is an InputFault if this worker
    does not meet the ``requirements``.
    """
    try:
        # Checked again before every task, because workers can join the cluster at any time.
        worker = get_worker()
        faults = worker_faults(expected, {worker.address: worker_facts(requirements, worker)})
        if faults:
            raise InputFault("\n".join(faults))
        # A worker owns one core or GPU: parallel work within the task must not be sent to the cluster again.
        with parallel_config(backend="sequential"):
            return task(*arguments), None
    except Exception as error:
        return None, _picklable(error)


def cache_on_worker(name: str, make: Callable[[], Value]) -> Value:
    """Return the value that this worker stores under ``name`` between tasks; the first call makes it with ``make``."""
    worker, attribute = get_worker(), f"melstack_{name}"
    if not hasattr(worker, attribute):
        setattr(worker, attribute, make())
    value: Value = getattr(worker, attribute)
    return value


def _own_gpu() -> str:
    visible = os.environ.get(VISIBLE)
    if visible is None:
        return "0" if next(Path("/dev").glob("nvidia[0-9]*"), None) else ""
    # dask-cuda makes all GPUs visible to every worker, the worker's own GPU first.
    gpu = os.environ[VISIBLE] = visible.split(",")[0]
    return gpu


def _picklable(error: Exception) -> Exception:
    """Return the error with the worker's traceback as a note, as a RuntimeError if it cannot be pickled."""
    error.add_note(f"on the worker {get_worker().address}:\n{traceback.format_exc()}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
    return error


@lru_cache(maxsize=2)
def _code(packages: tuple[str, ...]) -> str:
    """Return the digest of our code, computed once per process: a worker started before a change has the old digest."""
    return digest_of_code(path for package in packages for path in (SOURCES / package).rglob("*.py"))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
