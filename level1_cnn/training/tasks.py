"""The folds of models as tasks: one after another in this process, or side by side on the workers of a cluster."""

from collections.abc import Sequence
from dataclasses import replace

from level1_cnn.job import Job
from level1_cnn.training.trainers import Trainers


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
        from level1_cnn.training.cluster import fold_task, run_on_cluster, shared_task  # it needs the extra dask

        shared = [(shared_task, (job,)) for job in moved]
        each = [(fold_task, (job, fold)) for job in moved for fold in job.pending(folds)]
        run_on_cluster(cluster, moved[0].run.folder, [shared, each])


def _in_turn(jobs: Sequence[Job], folds: int, trainers: Trainers) -> None:
    for job in jobs:
        trainers.prepare(job)
        for fold in job.pending(folds):
            trainers.finish_fold(job, fold)
