"""The folds of models as tasks: run one after another in this process, or in parallel on the workers of a cluster."""

from collections.abc import Sequence
from dataclasses import replace

from level1_cnn.job import Job
from level1_cnn.training.trainers import Trainers


def run_tasks(jobs: Sequence[Job], folds: int, trainers: Trainers, cluster: str | None = None) -> None:
    """Compute what all folds of a model share, then every pending fold; in this process or in parallel on a cluster.

    A command passes the same ``trainers`` to all its calls, because a process can choose its devices only once.
    ``cluster`` is the address of a Dask scheduler (tcp://host:8786) whose workers have the run's folder under the same
    path. Raises InputFault when the cluster cannot be reached or its workers do not meet the requirements (see
    ``training/cluster.py``), and the error of a failed task. A task whose worker dies is repeated on another worker.
    """
    if cluster is None:
        _run_here(jobs, folds, trainers)
        return
    # The workers may have been started in other folders, so that the paths must be absolute.
    remote_jobs = [
        replace(job, run=replace(job.run, folder=job.run.folder.resolve())) for job in jobs if job.pending(folds)
    ]
    if remote_jobs:
        from level1_cnn.training.cluster import fold_task, run_on_cluster, shared_task  # needs the extra `dask`

        shared_tasks = [(shared_task, (job,)) for job in remote_jobs]
        fold_tasks = [(fold_task, (job, fold)) for job in remote_jobs for fold in job.pending(folds)]
        run_on_cluster(cluster, remote_jobs[0].run.folder, [shared_tasks, fold_tasks])


def _run_here(jobs: Sequence[Job], folds: int, trainers: Trainers) -> None:
    for job in jobs:
        trainers.prepare(job)
        for fold in job.pending(folds):
            trainers.finish_fold(job, fold)
