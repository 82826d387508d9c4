"""Level two on a Dask cluster: one fit per worker, or one fit on all workers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from level2_stack.crossval.fits import Job, Outcome, Table, Work

if TYPE_CHECKING:
    from runtime.cluster.scheduler import Cluster

CODE = ("runtime", "features", "level2_stack")  # packages that must be the same on every worker
PACKAGES = ("lightgbm", "xgboost-cpu", "xgboost", "catboost", "scikit-learn", "scipy", "numpy", "pandas", "optuna")


class ClusterWorkers:
    """The workers of a Dask cluster, each of which runs one fit at a time."""

    def __init__(self, cluster: "Cluster") -> None:
        self.cluster = cluster

    def run_in_parallel(self, work: Work[Outcome], jobs: Sequence[Job], table: Table) -> Iterator[Outcome]:
        """Yield ``work(job, table)`` for every job, in the order of ``jobs``; the results are as on one machine."""
        table_on_workers = self.cluster.share(table)
        yield from self.cluster.results([(work, (job, table_on_workers)) for job in jobs], keep_order=True)


@contextmanager
def open_workers(address: str | None, run: Path) -> Iterator[ClusterWorkers | None]:
    """Yield the workers of the Dask scheduler at ``address``, which must see folder ``run``; None without address."""
    if address is None:
        yield None
        return
    # Dask is an optional extra, which one machine does not need.
    from runtime.cluster.scheduler import connect_cluster
    from runtime.cluster.workers import Requirements

    with connect_cluster(address, Requirements("level two", run.resolve(), CODE, PACKAGES)) as cluster:
        yield ClusterWorkers(cluster)


@contextmanager
def open_table_cluster(address: str, location: str) -> "Iterator[Cluster]":
    """Yield the cluster of the scheduler at ``address``, whose workers must see the table's files in ``location``."""
    from runtime.cluster.scheduler import connect_cluster
    from runtime.cluster.workers import TableRequirements

    with connect_cluster(address, TableRequirements("spread", location, CODE, PACKAGES)) as cluster:
        yield cluster
