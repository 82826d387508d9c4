"""Level two on a Dask cluster: fits side by side, one per worker; or its workers, for fits that each take all."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from level2_stack.crossval.fits import Job, Outcome, Table, Work

if TYPE_CHECKING:
    from runtime.cluster.scheduler import Cluster

CODE = ("runtime", "features", "level2_stack")  # what must be the same on every worker
PACKAGES = ("lightgbm", "xgboost-cpu", "xgboost", "catboost", "scikit-learn", "scipy", "numpy", "pandas", "optuna")


class ClusterWorkers:
    """The workers of a cluster as machines that fit."""

    def __init__(self, cluster: "Cluster") -> None:
        self.cluster = cluster

    def run_in_parallel(self, work: Work[Outcome], jobs: Sequence[Job], table: Table) -> Iterator[Outcome]:
        """Yield what ``work`` makes of each of ``jobs`` and ``table``, in their order; the same as on one machine."""
        held = self.cluster.share(table)
        yield from self.cluster.results([(work, (job, held)) for job in jobs], keep_order=True)


@contextmanager
def open_workers(address: str | None, run: Path) -> Iterator[ClusterWorkers | None]:
    """Yield the workers of the Dask scheduler at ``address`` that see the folder ``run``; None without an address."""
    if address is None:
        yield None
        return
    # Needs an optional extra, and is not needed on one machine.
    from runtime.cluster.scheduler import connect_cluster
    from runtime.cluster.workers import Requirements

    with connect_cluster(address, Requirements("level two", run.resolve(), CODE, PACKAGES)) as cluster:
        yield ClusterWorkers(cluster)


@contextmanager
def open_table_cluster(address: str, place: str) -> "Iterator[Cluster]":
    """Yield the cluster of the Dask scheduler at ``address``, whose workers see the table's files in ``place``."""
    from runtime.cluster.scheduler import connect_cluster
    from runtime.cluster.workers import TableRequirements

    with connect_cluster(address, TableRequirements("spread", place, CODE, PACKAGES)) as cluster:
        yield cluster
