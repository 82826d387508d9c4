"""One fit of level two as a task: a learner on the rows outside some folds; tasks run in parallel processes."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logit

from level2_stack import learners
from level2_stack.design.assemble import Design
from level2_stack.learner_contract import STAGES, HasImportance, HasStages, HasWeights, Predict
from runtime.machine.cores import allowed_cores
from runtime.machine.memory import available_memory, format_bytes
from runtime.progress import say, warn
from runtime.settings import Settings

Floats = NDArray[np.float64]
Job = TypeVar("Job")
Outcome = TypeVar("Outcome")
Work: TypeAlias = Callable[..., Outcome]  # called with a job and the table
# Scores are stored as logits, and a percentile of 0 or 1 has no finite logit. The limit must be smaller than the step
# between two ranks of the largest table.
CLIP = 1e-9
# With fewer cells (fits x rows x columns) the fits take less time than starting two worker processes.
MIN_PARALLEL_CELLS = 5_000_000
WORKER = 250 << 20  # bytes of memory of a worker process with the learners' libraries


class Task(NamedTuple):
    """One fit of ``learner`` on the rows outside ``excluded_folds``, without some families of columns and columns.

    ``thinning_ratio`` is the number of negatives per positive that the fit keeps; None keeps all. A fit that excludes
    one fold also predicts the test rows. With ``keep_model`` the fitted model is part of the result.
    """

    learner: str
    params: Settings
    excluded_folds: tuple[int, ...]
    seed: int
    thinning_ratio: float | None = None
    keep_model: bool = False
    excluded_families: tuple[str, ...] = ()
    excluded_columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A design as arrays that worker processes share: ``X`` without row names, folds as 0..k-1, patients as numbers."""

    X: pd.DataFrame
    y: Floats
    folds: NDArray[np.int64]
    groups: NDArray[np.int64]


@dataclass(frozen=True)
class Model:
    """A fitted learner, and the correction of its logits for the thinning of negatives (Elkan 2001)."""

    predict: Predict
    correction: float  # added to the logits; 0 if no negatives were dropped

    def margins(self, X: pd.DataFrame) -> NDArray[np.float32]:
        """Return the logits of every row of ``X``, shape (stages, n): 1 stage, or len(STAGES) of a staged learner."""
        if not len(X):
            stages = len(STAGES) if isinstance(self.predict, HasStages) else 1
            return np.zeros((stages, 0), dtype=np.float32)
        return self._logits(
            self.predict.stages(X) if isinstance(self.predict, HasStages) else self.predict(X)[np.newaxis]
        )

    def margin(self, X: pd.DataFrame, share: float) -> NDArray[np.float32]:
        """Return the logits of every row of ``X``, (n,), after ``share`` of the rounds of a staged learner."""
        if not len(X):
            return np.zeros(0, dtype=np.float32)
        return self._logits(self.predict.after(X, share) if isinstance(self.predict, HasStages) else self.predict(X))

    def _logits(self, probability: Floats) -> NDArray[np.float32]:
        return np.asarray(logit(np.clip(probability, CLIP, 1 - CLIP)) + self.correction, dtype=np.float32)


@dataclass(frozen=True)
class FitResult:
    """The predictions of one fit, in logits: for each excluded fold and for the test rows an array (stages, rows).

    ``model`` is None unless the task asked to keep it.
    """

    fold_scores: dict[int, NDArray[np.float32]]
    test_scores: NDArray[np.float32] | None
    weights: Mapping[str, float] | None
    importance: Mapping[str, float] | None
    model: Model | None = None


def build_table(design: Design) -> Table:
    """Return ``design`` with its folds numbered 0..k-1 in their order."""
    X = design.X.copy(deep=False)  # shares the memory; only the row names are replaced
    X.index = pd.RangeIndex(len(X))
    return Table(
        X=X,
        y=design.y,
        folds=np.unique(design.folds, return_inverse=True)[1].astype(np.int64),
        groups=np.unique(design.groups.astype(str), return_inverse=True)[1].astype(np.int64),
    )


class Machines(Protocol):
    """Machines of a cluster, which run jobs instead of local processes; each machine gets the table once."""

    def run_in_parallel(self, work: Work[Outcome], jobs: Sequence[Job], table: Table) -> Iterator[Outcome]:
        """Yield ``work(job, table)`` for every job, in the order of ``jobs``."""


Workers: TypeAlias = int | Machines  # a number of processes on this machine, or other machines


def run_tasks(
    tasks: Sequence[Task],
    table: Table,
    *,
    processes: Workers | None = None,
    on_fit: Callable[[Task], None] | None = None,
) -> Iterator[tuple[Task, FitResult]]:
    """Yield every task with its result, in the order of ``tasks``, whether few or many ``processes`` run them.

    ``on_fit`` is called with each task after its fit.
    """
    outcomes = run_in_parallel(fit_task, tasks, table, processes or choose_processes(len(tasks), table))
    for task, outcome in zip(tasks, outcomes, strict=True):
        if on_fit is not None:
            on_fit(task)
        yield task, outcome


def run_in_parallel(work: Work[Outcome], jobs: Sequence[Job], table: Table, workers: Workers) -> Iterator[Outcome]:
    """Yield ``work(job, table)`` for every job, in the order of ``jobs``, as soon as each is available.

    Several ``workers`` are separate processes with one thread per fit: boosters keep their number of threads in a
    variable of the process, so two of them in threads of one process can crash. A single worker is this process. When a
    worker is killed, for instance because memory runs out, half as many workers run the remaining jobs.
    """
    if not isinstance(workers, int):
        return workers.run_in_parallel(work, jobs, table)
    if workers == 1:
        return (work(job, table) for job in jobs)
    return _in_processes(work, jobs, table, workers)


def _in_processes(work: Work[Outcome], jobs: Sequence[Job], table: Table, workers: int) -> Iterator[Outcome]:
    count = 0
    while workers > 1 and count < len(jobs):
        for outcome in _run_processes(work, jobs[count:], table, workers):
            count += 1
            yield outcome
        workers //= 2
    yield from (work(job, table) for job in jobs[count:])


def _run_processes(work: Work[Outcome], jobs: Sequence[Job], table: Table, workers: int) -> Iterator[Outcome]:
    from joblib import delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    from runtime.machine.pool import open_pool

    parallel = open_pool(workers, return_as="generator", batch_size=1, pre_dispatch="2*n_jobs")
    try:
        yield from parallel(delayed(work)(job, table) for job in jobs)
    except TerminatedWorkerError:
        warn(f"level two: a worker process was killed (out of memory?); continuing with {workers // 2} of {workers}")


def choose_processes(n_tasks: int, table: Table) -> int:
    """Return the number of worker processes for ``n_tasks`` fits, within the cores and the memory that are ours.

    It is 1 if there is little to compute.
    """
    cells = n_tasks * table.X.shape[0] * table.X.shape[1]
    if cells < MIN_PARALLEL_CELLS:
        return 1
    processes = min(allowed_cores(), n_tasks)
    fitting = max(1, available_memory() // worker_bytes(table.X))
    if fitting < processes:
        say(f"level two: {fitting} of {processes} processes, since {format_bytes(available_memory())} are available")
    return min(processes, fitting)


def worker_bytes(X: pd.DataFrame) -> int:
    """Return the bytes of memory of a worker process that fits to the columns ``X``."""
    return WORKER + 3 * int(X.memory_usage(deep=False).sum())


def fit_task(task: Task, table: Table) -> FitResult:
    """Run the fit of ``task``, and predict the rows of its excluded folds and, if that is one fold, the test rows."""
    n_train = len(table.y)
    X = select_columns(task.learner, table.X, task.excluded_families).drop(columns=list(task.excluded_columns))
    rows, kept_share = thin_negatives(np.flatnonzero(~np.isin(table.folds, task.excluded_folds)), table.y, task)
    groups = table.groups[rows].astype(object)
    predict = learners.find(task.learner).fit(task.params, X.iloc[rows], table.y[rows], groups=groups, seed=task.seed)
    model = Model(predict, float(np.log(kept_share)))
    return FitResult(
        fold_scores={fold: model.margins(X.iloc[np.flatnonzero(table.folds == fold)]) for fold in task.excluded_folds},
        test_scores=model.margins(X.iloc[n_train:]) if len(task.excluded_folds) == 1 else None,
        weights=predict.weights if isinstance(predict, HasWeights) else None,
        importance=predict.importance if isinstance(predict, HasImportance) else None,
        model=model if task.keep_model else None,
    )


def select_columns(learner: str, X: pd.DataFrame, excluded_families: Collection[str] = ()) -> pd.DataFrame:
    """Return the columns of ``X`` that ``learner`` uses: the networks' logits, or all outside ``excluded_families``."""
    if learners.find(learner).USES == "logits":
        return X.filter(regex=r"^logit\.")
    return X.loc[:, [name.split(".")[0] not in excluded_families for name in X.columns]] if excluded_families else X


def thin_negatives(rows: NDArray[np.intp], y: Floats, task: Task) -> tuple[NDArray[np.intp], float]:
    """Return ``rows`` with as many negatives as ``task`` keeps, drawn at random, and the share of negatives kept."""
    positive = y[rows] == 1
    count = np.inf if task.thinning_ratio is None else int(np.ceil(task.thinning_ratio * positive.sum()))
    if count >= (~positive).sum():
        return rows, 1.0
    random = np.random.default_rng([task.seed, *task.excluded_folds])
    negatives = random.choice(rows[~positive], int(count), replace=False)
    return np.sort(np.concatenate([rows[positive], negatives])), float(count / (~positive).sum())
