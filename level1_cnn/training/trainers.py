"""The trainers of one process: they train the folds of a model with one graph, built once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from level1_cnn.job import Job
from runtime.progress import detail
from runtime.provenance import is_fresh

if TYPE_CHECKING:  # these modules import TensorFlow
    from level1_cnn.hardware.devices import Plan
    from level1_cnn.training.crossval import Trainer


class Trainers:
    """Run the tasks of one process, model after model; the graph of the last model stays in memory."""

    def __init__(self) -> None:
        self._plans: dict[tuple[str, bool], Plan] = {}
        self._job: Job | None = None
        self._trainer: Trainer | None = None

    def prepare(self, job: Job) -> None:
        """Compute what the folds of a model share: embeddings, or a pretraining stage."""
        self._trainer_of(job).prepare()

    def finish_fold(self, job: Job, fold: int) -> str:
        """Train and predict one fold, write its tables, and return a line for the user."""
        # A cluster repeats a task when its worker dies, even if the fold was already finished.
        if is_fresh(job.fold_mark(fold), job.made_from):
            return f"{job.name}: fold {fold} is finished already"
        trainer = self._trainer_of(job)
        from level1_cnn.training.crossval import run_fold

        run_fold(trainer, fold, job.fold_mark(fold), job.made_from, deterministic=job.deterministic)
        return f"{job.name}: fold {fold} finished"

    def _trainer_of(self, job: Job) -> Trainer:
        """Return the trainer of a model; free the one of another model first, as two may not fit into memory."""
        if self._trainer is None or self._job != job:
            from level1_cnn.hardware.import_tensorflow import import_tensorflow

            import_tensorflow()
            from level1_cnn.training.crossval import open_trainer

            self._trainer = None
            self._job, self._trainer = job, open_trainer(job, self._plan(job))
        return self._trainer

    def _plan(self, job: Job) -> Plan:
        key = (job.devices, job.deterministic)
        if key not in self._plans:
            self._plans[key] = plan_of(job)
        return self._plans[key]


def plan_of(job: Job) -> Plan:
    """Return the devices and precision for a job on this machine, and print them; call it once per process."""
    from level1_cnn.hardware.devices import plan_devices

    plan = plan_devices(job.devices, deterministic=job.deterministic)
    detail(f"level one: {plan.describe()}")
    return plan
