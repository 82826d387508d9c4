"""Level one on a Dask cluster: what its tasks are, and what a worker must be like to do them."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from level1_cnn.job import Job
from level1_cnn.training.trainers import Trainers
from runtime.cluster.scheduler import Task, connect_cluster
from runtime.cluster.workers import Requirements, cache_on_worker
from runtime.progress import say

PACKAGES = ("tensorflow", "keras", "numpy", "scikit-learn", "onnxruntime")


def run_on_cluster(address: str, run: Path, stages: Sequence[Sequence[Task]]) -> None:
    """Do every task of a stage, then those of the next, on the workers of the Dask scheduler at ``address``.

    A task is a function of a module and its arguments; the line it returns is said when it is finished. ``run`` is the
    run's folder, absolute, and the same for all. Raises InputFault when the cluster is not fit for the work or is lost
    (see ``runtime.cluster``); otherwise the error of a task as it is. What is finished stays finished.
    """
    with connect_cluster(address, worker_requirements(run)) as cluster:
        for line in filter(None, chain.from_iterable(cluster.results(stage) for stage in stages)):
            say(line)


def shared_task(job: Job) -> None:
    """Do on a worker what the folds of a model share."""
    cache_on_worker("trainers", Trainers).prepare(job)


def fold_task(job: Job, fold: int) -> str:
    """Train and predict one fold on a worker, which keeps the model's graph for the next fold that it is given."""
    return cache_on_worker("trainers", Trainers).finish_fold(job, fold)


def worker_requirements(run: Path) -> Requirements:
    """Return what level one demands of a worker."""
    return Requirements("level one", run, ("runtime", "features", "level1_cnn"), PACKAGES, gpu=True)
