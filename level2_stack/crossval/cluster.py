"""Level two's fits on a Dask cluster: side by side, one per worker, or one after another over several workers each."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from level2_stack.crossval.fits import Job, Outcome, Table, Work
from level2_stack.partitions import partitions

if TYPE_CHECKING:
    from runtime.cluster.scheduler import Cluster

CODE = ("runtime", "features", "level2_stack")  # what must be the same on every worker
PACKAGES = ("lightgbm", "xgboost-cpu", "xgboost", "catboost", "scikit-learn", "scipy", "numpy", "pandas", "optuna")


class OnCluster:
    """The workers of a cluster as machines that fit."""

    def __init__(self, cluster: "Cluster") -> None:
        self.cluster = cluster

    def side_by_side(self, work: Work[Outcome], jobs: Sequence[Job], table: Table) -> Iterator[Outcome]:
        """Yield what ``work`` makes of each of ``jobs`` and ``table``, in their order; the same as on one machine.

        A job whose parameters name no ``partitions`` is done by one worker, which has one thread, beside the others. A
        fit in several partitions is started from here when it is its turn and takes as many workers at once.
        """
        held = self.cluster.hold(table)
        whole = [job for job in jobs if _partitions(job) == 1]
        outcomes = self.cluster.results([(work, (job, held)) for job in whole], ordered=True)
        for job in jobs:
            yield next(outcomes) if _partitions(job) == 1 else work(job, table, cluster=self.cluster)


@contextmanager
def fits_at(address: str | None, run: Path) -> Iterator[OnCluster | None]:
    """Yield the workers of the Dask scheduler at ``address`` that see the folder ``run``; None without an address."""
    if address is None:
        yield None
        return
    # Needs an optional extra, and is not needed on one machine.
    from runtime.cluster.scheduler import opened
    from runtime.cluster.workers import Demands

    with opened(address, Demands("level two", run.resolve(), CODE, PACKAGES)) as cluster:
        yield OnCluster(cluster)


@contextmanager
def parts_at(address: str, table: Path) -> "Iterator[Cluster]":
    """Yield the cluster of the Dask scheduler at ``address``, whose workers see the folder ``table``."""
    from runtime.cluster.scheduler import opened
    from runtime.cluster.workers import OfTable

    with opened(address, OfTable("spread", table.resolve(), CODE, PACKAGES)) as cluster:
        yield cluster


def _partitions(job: object) -> int:
    return partitions(getattr(job, "params", None))
