"""The folds of models as tasks: one after another in this process, or side by side on the workers of a cluster."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from level1_cnn.job import Job
from level1_cnn.training.trainers import Trainers
from runtime.cluster.scheduler import Task, opened
from runtime.cluster.workers import Demands, kept
from runtime.progress import say


def run_tasks(jobs: Sequence[Job], folds: int, trainers: Trainers, cluster: str | None = None) -> None:
    """Do what all folds of a model share, then every pending fold: one after another here, side by side on a cluster.

    ``trainers`` are this process' own: a command hands the same to all its calls, as devices are chosen once.
    ``cluster`` is the address of a Dask scheduler (tcp://host:8786) whose workers see the run's folder under the same
    path. Raises InputFault when it cannot be reached or its workers are not fit for it (see ``cluster``), otherwise
    what a task raises; a task whose worker dies is done again by another.
    """
    if cluster is None:
        _in_turn(jobs, folds, trainers)
        return
    # A relative path means something else to a process that was started in another folder.
    moved = [replace(job, run=replace(job.run, folder=job.run.folder.resolve())) for job in jobs if job.pending(folds)]
    if moved:
        shared = [(shared_task, (job,)) for job in moved]
        each = [(fold_task, (job, fold)) for job in moved for fold in job.pending(folds)]
        run_on_cluster(cluster, moved[0].run.folder, [shared, each])


def _in_turn(jobs: Sequence[Job], folds: int, trainers: Trainers) -> None:
    for job in jobs:
        trainers.prepare(job)
        for fold in job.pending(folds):
            trainers.finish_fold(job, fold)


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


def shared_task(job: Job) -> None:
    """Do on a worker what the folds of a model share."""
    kept("trainers", Trainers).prepare(job)


def fold_task(job: Job, fold: int) -> str:
    """Train and predict one fold on a worker, which keeps the model's graph for the next fold that it is given."""
    return kept("trainers", Trainers).finish_fold(job, fold)


def demands(run: Path) -> Demands:
    """Return what level one demands of a worker."""
    return Demands("level one", run, ("runtime", "features", "level1_cnn"), PACKAGES, gpu=True)
