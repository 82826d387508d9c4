"""Level one's tasks on a Dask cluster: stage after stage, on workers with one GPU each."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from features.cluster import Task, opened
from features.progress import say
from features.workers import Demands

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
    return Demands("level one", run, ("features", "level1_cnn"), PACKAGES, gpu=True)
