"""One fit of level two as a task: a learner on the rows outside some folds, in a process of its own."""

import os
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
from runtime.progress import say
from runtime.settings import Settings

Floats = NDArray[np.float64]
Job = TypeVar("Job")
Outcome = TypeVar("Outcome")
Work: TypeAlias = Callable[..., Outcome]  # of a job and the table
# Scores are kept as logits. A percentile of 0 or 1 has none; the limit only has to be rarer than any rank in a table.
CLIP = 1e-9
# Below so many cells (fits x rows x columns) the fits are done sooner than two worker processes have started.
CELLS_WORTH_A_PROCESS = 5_000_000


class Task(NamedTuple):
    """What one fit is: ``excluded_folds`` are the folds it never sees, ``thinning_ratio`` how many negatives per positive it keeps.

    A fit that leaves out one fold also predicts the test rows. ``excluded_families`` are column families it is not given.
    """

    learner: str
    params: Settings
    excluded_folds: tuple[int, ...]
    seed: int
    thinning_ratio: float | None = None
    keep_model: bool = False
    excluded_families: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A design as arrays that worker processes share: ``X`` without row names, folds as 0..k-1, patients as numbers."""

    X: pd.DataFrame
    y: Floats
    folds: NDArray[np.int64]
    groups: NDArray[np.int64]


@dataclass(frozen=True)
class Model:
    """A fitted learner together with what puts its odds right after negatives were thinned (Elkan 2001)."""

    predict: Predict
    correction: float  # in logits; 0 where nothing was thinned

    def margins(self, X: pd.DataFrame) -> NDArray[np.float32]:
        """Return the logits of every row of ``X``, shape (stages, n): 1 stage, or len(STAGES) of a staged learner."""
        if not len(X):
            stages = len(STAGES) if isinstance(self.predict, HasStages) else 1
            return np.zeros((stages, 0), dtype=np.float32)
        probability = self.predict.stages(X) if isinstance(self.predict, HasStages) else self.predict(X)[np.newaxis]
        return np.asarray(logit(np.clip(probability, CLIP, 1 - CLIP)) + self.correction, dtype=np.float32)


@dataclass(frozen=True)
class FitResult:
    """What one fit predicts, in logits: for each left-out fold and for the test rows an array (stages, rows).

    ``model`` is the model itself where the task asked to keep it.
    """

    fold_scores: dict[int, NDArray[np.float32]]
    test_scores: NDArray[np.float32] | None
    weights: Mapping[str, float] | None
    importance: Mapping[str, float] | None
    model: Model | None = None


def build_table(design: Design) -> Table:
    """Return ``design`` with its folds numbered 0..k-1 in their order."""
    X = design.X.copy(deep=False)  # the same memory, without the names of the rows
    X.index = pd.RangeIndex(len(X))
    return Table(
        X=X,
        y=design.y,
        folds=np.unique(design.folds, return_inverse=True)[1].astype(np.int64),
        groups=np.unique(design.groups.astype(str), return_inverse=True)[1].astype(np.int64),
    )


class Machines(Protocol):
    """Other machines that work on jobs with a table that each of them is sent once."""

    def run_in_parallel(self, work: Work[Outcome], jobs: Sequence[Job], table: Table) -> Iterator[Outcome]:
        """Yield what ``work`` makes of each of ``jobs``, in their order."""


Workers: TypeAlias = int | Machines  # so many processes of this machine, or others


def run_tasks(
    tasks: Sequence[Task],
    table: Table,
    *,
    processes: Workers | None = None,
    on_fit: Callable[[Task], None] | None = None,
) -> Iterator[tuple[Task, FitResult]]:
    """Yield every task with its outcome, in the order given, whatever the number of ``processes``, here or elsewhere.

    ``on_fit`` is called after each of them.
    """
    outcomes = run_in_parallel(fit_task, tasks, table, processes or choose_processes(len(tasks), table))
    for task, outcome in zip(tasks, outcomes, strict=True):
        if on_fit is not None:
            on_fit(task)
        yield task, outcome


def run_in_parallel(work: Work[Outcome], jobs: Sequence[Job], table: Table, workers: Workers) -> Iterator[Outcome]:
    """Yield what ``work`` makes of each of ``jobs`` and the ``table``, in their order, as it comes.

    With several ``workers`` each is a process of its own, with one thread per fit: boosters keep their number of
    threads in a variable of the process, so two of them in threads of one process can crash. With one, all is done in
    this process. When a worker is killed, as a system without memory does, half as many do what is left.
    """
    if not isinstance(workers, int):
        return workers.run_in_parallel(work, jobs, table)
    if workers == 1:
        return (work(job, table) for job in jobs)
    return _in_processes(work, jobs, table, workers)


def _in_processes(work: Work[Outcome], jobs: Sequence[Job], table: Table, workers: int) -> Iterator[Outcome]:
    done = 0
    while workers > 1 and done < len(jobs):
        for outcome in _until_one_is_killed(work, jobs[done:], table, workers):
            done += 1
            yield outcome
        workers //= 2
    yield from (work(job, table) for job in jobs[done:])


def _until_one_is_killed(work: Work[Outcome], jobs: Sequence[Job], table: Table, workers: int) -> Iterator[Outcome]:
    from joblib import Parallel, delayed  # slow to import, and small work does without
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    parallel = Parallel(workers, backend="loky", return_as="generator", batch_size=1, pre_dispatch="2*n_jobs")
    try:
        yield from parallel(delayed(work)(job, table) for job in jobs)
    except TerminatedWorkerError:
        say(f"level two: a worker process was killed (out of memory?); going on with {workers // 2} of {workers}")


def choose_processes(n_tasks: int, table: Table) -> int:
    """Return how many worker processes ``n_tasks`` fits are worth on this machine: 1 for small work."""
    cells = n_tasks * table.X.shape[0] * table.X.shape[1]
    return 1 if cells < CELLS_WORTH_A_PROCESS else min(os.cpu_count() or 1, n_tasks)


def fit_task(task: Task, table: Table) -> FitResult:
    """Return what the fit of ``task`` predicts for the rows it left out and, with one fold left out, for test rows."""
    n_train = len(table.y)
    X = select_columns(task.learner, table.X, task.excluded_families)
    rows, kept = thinned(np.flatnonzero(~np.isin(table.folds, task.excluded_folds)), table.y, task)
    groups = table.groups[rows].astype(object)
    predict = learners.find(task.learner).fit(task.params, X.iloc[rows], table.y[rows], groups=groups, seed=task.seed)
    model = Model(predict, float(np.log(kept)))
    return FitResult(
        fold_scores={fold: model.margins(X.iloc[np.flatnonzero(table.folds == fold)]) for fold in task.excluded_folds},
        test_scores=model.margins(X.iloc[n_train:]) if len(task.excluded_folds) == 1 else None,
        weights=predict.weights if isinstance(predict, HasWeights) else None,
        importance=predict.importance if isinstance(predict, HasImportance) else None,
        model=model if task.keep_model else None,
    )


def select_columns(learner: str, X: pd.DataFrame, without: Collection[str] = ()) -> pd.DataFrame:
    """Return the columns of ``X`` that ``learner`` is given: the networks' logits, or all but families ``without``."""
    if learners.find(learner).USES == "logits":
        return X.filter(regex=r"^logit\.")
    return X.loc[:, [name.split(".")[0] not in without for name in X.columns]] if without else X


def thinned(rows: NDArray[np.intp], y: Floats, task: Task) -> tuple[NDArray[np.intp], float]:
    """Return ``rows`` with the negatives thinned as ``task`` asks, and the share of them that was kept."""
    positive = y[rows] == 1
    wanted = np.inf if task.thinning_ratio is None else int(np.ceil(task.thinning_ratio * positive.sum()))
    if wanted >= (~positive).sum():
        return rows, 1.0
    drawn = np.random.default_rng([task.seed, *task.excluded_folds]).choice(rows[~positive], int(wanted), replace=False)
    return np.sort(np.concatenate([rows[positive], drawn])), float(wanted / (~positive).sum())
