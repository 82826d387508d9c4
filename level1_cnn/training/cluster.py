"""Level one on a Dask cluster: its tasks, and the requirements of its workers."""

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
    """Do all tasks of the first stage, then those of the next, on the workers of the Dask scheduler at ``address``.

    A task is a module-level function and its arguments; the line that it returns is printed when it is finished.
    ``run`` is the absolute path of the run's folder, the same on all workers. Raises InputFault when the cluster does
    not meet the requirements or its connection is lost (see ``runtime.cluster``), and the error of a failed task
    unchanged. Finished tasks keep their results.
    """
    with connect_cluster(address, worker_requirements(run)) as cluster:
        for line in filter(None, chain.from_iterable(cluster.results(stage) for stage in stages)):
            say(line)


def shared_task(job: Job) -> None:
    """Compute on a worker what all folds of a model share: embeddings or a pretraining stage."""
    cache_on_worker("trainers", Trainers).prepare(job)


def fold_task(job: Job, fold: int) -> str:
    """Train and predict one fold on a worker, which keeps the model's graph for its next fold."""
    return cache_on_worker("trainers", Trainers).finish_fold(job, fold)


def worker_requirements(run: Path) -> Requirements:
    """Return what level one requires of a worker."""
    return Requirements("level one", run, ("runtime", "features", "level1_cnn"), PACKAGES, gpu=True)
