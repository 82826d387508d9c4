"""One fold of one model as a task: what any process needs to do it, here or on a worker of a cluster."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

from level1_cnn.job import Job
from runtime.cluster.scheduler import Task, opened
from runtime.cluster.workers import Demands
from runtime.progress import say
from runtime.provenance import is_fresh


def run_tasks(jobs: Sequence[Job], folds: int, cluster: str | None = None) -> None:
    """Do what all folds of a model share, then every pending fold: one after another here, side by side on a cluster.

    ``cluster`` is the address of a Dask scheduler (tcp://host:8786) whose workers see the run's folder under the same
    path. Raises InputFault when it cannot be reached or its workers are not fit for it (see ``cluster``), otherwise
    what a task raises; a task whose worker dies is done again by another.
    """
    if cluster is None:
        _in_turn(jobs, folds)
        return
    # A relative path means something else to a process that was started in another folder.
    moved = [replace(job, run=replace(job.run, folder=job.run.folder.resolve())) for job in jobs if job.pending(folds)]
    shared = [(shared_task, (job,)) for job in moved]
    each = [(fold_task, (job, fold)) for job in moved for fold in job.pending(folds)]
    if moved:
        run_on_cluster(cluster, moved[0].run.folder, [shared, each])


def shared_task(job: Job) -> None:
    """Do what the folds of a model share: embeddings, or a pretraining stage."""
    _trainer(job).prepare()


def fold_task(job: Job, fold: int) -> str:
    """Train and predict one fold, write its tables, and return a line that says so."""
    # A cluster does a task twice whose worker died after it had finished.
    if is_fresh(job.fold_mark(fold), job.made_from):
        return f"{job.name}: fold {fold} is finished already"
    from level1_cnn.training.crossval import run_fold

    run_fold(_trainer(job), fold, job.fold_mark(fold), job.made_from, deterministic=job.deterministic)
    return f"{job.name}: fold {fold} finished"


def plan_of(job: Job) -> Any:  # noqa: ANN401  a Plan; its module imports TensorFlow
    """Return how networks run on this machine, as the job wants it; said to the user, once per process."""
    return _plan(job.devices, job.deterministic)


def _in_turn(jobs: Iterable[Job], folds: int) -> None:
    for job in jobs:
        shared_task(job)
        for fold in job.pending(folds):
            fold_task(job, fold)


@lru_cache(maxsize=1)
def _trainer(job: Job) -> Any:  # noqa: ANN401  a Trainer; its module imports TensorFlow
    """Return the trainer of a model, built once per process: its graph serves all folds that this process is given."""
    from level1_cnn.hardware.import_tensorflow import import_tensorflow

    import_tensorflow()
    from level1_cnn.training.crossval import open_trainer

    return open_trainer(job, plan_of(job))


@lru_cache(maxsize=1)
def _plan(devices: str, deterministic: bool) -> Any:  # noqa: ANN401  a Plan; its module imports TensorFlow
    from level1_cnn.hardware.devices import plan_devices

    plan = plan_devices(devices, deterministic=deterministic)
    say(f"level one: {plan.describe()}")
    return plan


PACKAGES = ("tensorflow", "keras", "numpy", "scikit-learn", "onnxruntime")


def run_on_cluster(address: str, run: Path, stages: Sequence[Sequence[Task]]) -> None:
    """Do every task of a stage, then those of the next, on the workers of the Dask scheduler at ``address``.

    A task is a function of a module and its arguments; the line it returns is said when it is finished. ``run`` is the
    run's folder, absolute, and the same for all. Raises InputFault when the cluster is not fit for the work or is lost
    (see ``features.cluster``); otherwise the error of a task as it is. What is finished stays finished.
    """
    with opened(address, demands(run)) as cluster:
        for line in filter(None, chain.from_iterable(cluster.results(stage) for stage in stages)):
            say(line)


def demands(run: Path) -> Demands:
    """Return what level one demands of a worker."""
    return Demands("level one", run, ("runtime", "features", "level1_cnn"), PACKAGES, gpu=True)
