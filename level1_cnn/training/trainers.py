"""The trainers of one process: what it does of a model's folds, with a graph that is built once for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from level1_cnn.job import Job
from runtime.progress import say
from runtime.provenance import is_fresh

if TYPE_CHECKING:  # these modules import TensorFlow
    from level1_cnn.hardware.devices import Plan
    from level1_cnn.training.crossval import Trainer


class Trainers:
    """Do the tasks that one process is given, model after model; who holds it holds the graph of the last model."""

    def __init__(self) -> None:
        self._plans: dict[tuple[str, bool], Plan] = {}
        self._job: Job | None = None
        self._trainer: Trainer | None = None

    def prepare(self, job: Job) -> None:
        """Do what the folds of a model share: embeddings, or a pretraining stage."""
        self._of(job).prepare()

    def finish_fold(self, job: Job, fold: int) -> str:
        """Train and predict one fold, write its tables, and return a line that says so."""
        # A cluster does a task twice whose worker died after it had finished.
        if is_fresh(job.fold_mark(fold), job.made_from):
            return f"{job.name}: fold {fold} is finished already"
        trainer = self._of(job)
        from level1_cnn.training.crossval import run_fold

        run_fold(trainer, fold, job.fold_mark(fold), job.made_from, deterministic=job.deterministic)
        return f"{job.name}: fold {fold} finished"

    def _of(self, job: Job) -> Trainer:
        """Return the trainer of a model; that of another model is let go first, as two need not fit the memory."""
        if self._trainer is None or self._job != job:
            from level1_cnn.hardware.import_tensorflow import import_tensorflow

            import_tensorflow()
            from level1_cnn.training.crossval import open_trainer

            self._trainer = None
            self._job, self._trainer = job, open_trainer(job, self._plan(job))
        return self._trainer

    def _plan(self, job: Job) -> Plan:
        wanted = (job.devices, job.deterministic)
        if wanted not in self._plans:
            self._plans[wanted] = plan_of(job)
        return self._plans[wanted]


def plan_of(job: Job) -> Plan:
    """Return how networks run on this machine, as the job wants it, and say so; a process asks once."""
    from level1_cnn.hardware.devices import plan_devices

    plan = plan_devices(job.devices, deterministic=job.deterministic)
    say(f"level one: {plan.describe()}")
    return plan
