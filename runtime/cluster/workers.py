"""A worker of a cluster: what it is like, what makes it unfit for a run's tasks, and how it does one of them."""

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
WHAT = {  # of a worker's facts, in words
    "run": "the run's case table",
    "table": "what lies in the table's folder",
    "code": "melstack's code",
}


Value = TypeVar("Value")


@dataclass(frozen=True)
class Requirements:
    """What must be the same for everybody who works on ``run``: its cases, our packages ``code``, libraries, Python.

    ``level`` is who works, as the user is told. With ``gpu`` every worker has one of its own.
    """

    level: str
    run: Path | str  # absolute, and the same for all
    code: tuple[str, ...]
    packages: tuple[str, ...]
    gpu: bool = False

    def facts(self) -> dict[str, str]:
        """Return what this process finds where everybody has to find the same."""
        found = {**self.place(), "code": _code(self.code)}
        return found | {"python": platform.python_version()} | {name: _version(name) for name in self.packages}

    def place(self) -> dict[str, str]:
        """Return what this process finds where the work is kept."""
        cases = Path(self.run) / "cases.parquet"
        return {"run": digest_of_file(cases) if cases.is_file() else f"absent ({cases})"}


@dataclass(frozen=True)
class TableRequirements(Requirements):
    """Requirements of a table: ``run`` is the folder of the table, on any file system that fsspec knows."""

    def place(self) -> dict[str, str]:
        """Return what this process finds in the folder: names and sizes, as it is asked before every task."""
        try:
            system, root = fsspec.url_to_fs(str(self.run))
            found = [each for each in system.ls(root, detail=True) if each["type"] == "file"]
        except (ImportError, ValueError, OSError) as error:
            return {"table": f"absent ({error})"}
        return {"table": digest(sorted((each["name"].rsplit("/", 1)[-1], each["size"]) for each in found))}


def worker_faults(expected: Mapping[str, str], workers: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return what makes each of the ``workers`` (address -> facts, threads, host, gpu) unfit for the work.

    Each must have the ``expected`` facts and one thread, since TensorFlow's state and the boosters' number of threads
    are its process', and no two of one host the same GPU.
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


def worker_facts(demands: Requirements, dask_worker: Any) -> dict[str, str]:  # noqa: ANN401  Dask gives it under this name
    """Return what this worker is like; where the work takes a GPU, let it see one alone."""
    gpu = _own_gpu() if demands.gpu else ""
    return demands.facts() | {"threads": str(dask_worker.state.nthreads), "host": platform.node(), "gpu": gpu}


def run_on_worker(
    demands: Requirements, expected: Mapping[str, str], task: Callable[..., Any], arguments: tuple[Any, ...]
) -> tuple[Any, BaseException | None]:
    """Return what the task returns, or what it raises: as a value, since an error that cannot be sent is lost."""
    try:
        # Workers may join at any time: this one may not be among those that were asked before.
        worker = get_worker()
        faults = worker_faults(expected, {worker.address: worker_facts(demands, worker)})
        if faults:
            raise InputFault("\n".join(faults))
        # A worker has one core or GPU of its own: what its task does in parallel must not go to the cluster as well.
        with parallel_config(backend="sequential"):
            return task(*arguments), None
    except Exception as error:
        return None, _sendable(error)


def get_cached(name: str, make: Callable[[], Value]) -> Value:
    """Return what this worker keeps under ``name`` from one task to the next, made at the first; it ends with it."""
    worker, own = get_worker(), f"melstack_{name}"
    if not hasattr(worker, own):
        setattr(worker, own, make())
    found: Value = getattr(worker, own)
    return found


def _own_gpu() -> str:
    visible = os.environ.get(VISIBLE)
    if visible is None:
        return "0" if next(Path("/dev").glob("nvidia[0-9]*"), None) else ""
    # dask-cuda shows every worker all GPUs, its own first.
    gpu = os.environ[VISIBLE] = visible.split(",")[0]
    return gpu


def _sendable(error: Exception) -> Exception:
    error.add_note(f"on the worker {get_worker().address}:\n{traceback.format_exc()}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
    return error


@lru_cache(maxsize=2)
def _code(packages: tuple[str, ...]) -> str:
    """Return a digest of our code as this process knows it: a worker that was started before a change is told so."""
    return digest_of_code(path for package in packages for path in (SOURCES / package).rglob("*.py"))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
