"""One fold of one model as a task: what any process needs to do it, here or on a worker of a cluster."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from features.faults import InputFault
from features.progress import say
from features.provenance import is_fresh, refuse_damaged
from features.runs import Run
from level1_cnn.experiment import Experiment

PRETRAIN = "pretrain"  # the folder of a model's stage on external pictures
BACKBONE_FILE = "backbone.weights.h5"  # in that folder: for models that start from the stage


@dataclass(frozen=True)
class Job:
    """A model to be trained in a run; it travels to other processes, which share the run's folder."""

    run: Run
    name: str
    experiment: Experiment
    ingredients: str  # JSON of what the model is made from
    devices: str = "auto"
    deterministic: bool = False

    @property
    def folder(self) -> Path:
        """The model's folder."""
        return self.run.level1 / self.name

    @property
    def pretrain_folder(self) -> Path:
        """Where the model's pretraining stage is kept, if it has one."""
        return self.folder / PRETRAIN

    @property
    def network(self) -> Experiment:
        """The experiment with weights that a backbone family understands: a model's name becomes its stage's file."""
        source = self.experiment.pretrained_model
        if source is None:
            return self.experiment
        return self.experiment.model_copy(update={"weights": str(pretrained_backbone(self.run, source))})

    @property
    def made_from(self) -> dict[str, Any]:
        """What the model is made from."""
        made_from: dict[str, Any] = json.loads(self.ingredients)
        return made_from

    def fold_mark(self, fold: int) -> Path:
        """The mark that is written last when a fold is finished."""
        return self.folder / f"fold_{fold}" / "done.json"

    def pending(self, folds: int) -> list[int]:
        """Return the folds that an interrupted attempt left undone."""
        return [fold for fold in range(folds) if not is_fresh(self.fold_mark(fold), self.made_from)]


def part_marks(folder: Path) -> list[Path]:
    """Return the marks of the parts of a model in ``folder``: shared embeddings, a pretraining stage, its folds."""
    return sorted([*folder.glob("embedded.json"), *folder.glob("*/done.json")])


def read_of_fold(path: Path) -> Path:
    """Return ``path``, a file of a fold, once it is found as it was written.

    Raises InputFault when it is not there, or damaged: then the fold's mark is taken away, so that it is trained again.
    """
    refuse_damaged(path.parent / "done.json", "`make oof` trains that fold again")
    if not path.is_file():
        raise InputFault(f"{path}: not there; the weights of every fold are needed")
    return path


def pretrained_backbone(run: Run, model: str) -> Path:
    """Return where the pretraining stage of a run's model leaves the weights of its backbone."""
    return Run(run.folder).level1 / model / PRETRAIN / BACKBONE_FILE


def run_tasks(jobs: Sequence[Job], folds: int, cluster: str | None = None) -> None:
    """Do what all folds of a model share, then every pending fold: one after another here, side by side on a cluster.

    ``cluster`` is the address of a Dask scheduler (tcp://host:8786) whose workers see the run's folder under the same
    path. Raises InputFault when it cannot be reached or its workers are not fit for it (see ``cluster``), otherwise
    what a task raises; a task whose worker dies is done again by another.
    """
    if cluster is None:
        _in_turn(jobs, folds)
        return
    # A relative path means something else to a process that was started in another folder.
    moved = [replace(job, run=replace(job.run, folder=job.run.folder.resolve())) for job in jobs if job.pending(folds)]
    shared = [(shared_task, (job,)) for job in moved]
    each = [(fold_task, (job, fold)) for job in moved for fold in job.pending(folds)]
    if moved:
        from level1_cnn.cluster import run_on_cluster

        run_on_cluster(cluster, moved[0].run.folder, [shared, each])


def shared_task(job: Job) -> None:
    """Do what the folds of a model share: embeddings, or a pretraining stage."""
    _trainer(job).prepare()


def fold_task(job: Job, fold: int) -> str:
    """Train and predict one fold, write its tables, and return a line that says so."""
    # A cluster does a task twice whose worker died after it had finished.
    if is_fresh(job.fold_mark(fold), job.made_from):
        return f"{job.name}: fold {fold} is finished already"
    from level1_cnn.crossval import run_fold

    run_fold(_trainer(job), fold, job.fold_mark(fold), job.made_from, deterministic=job.deterministic)
    return f"{job.name}: fold {fold} finished"


def plan_of(job: Job) -> Any:  # noqa: ANN401  a Plan; its module imports TensorFlow
    """Return how networks run on this machine, as the job wants it; said to the user, once per process."""
    return _plan(job.devices, job.deterministic)


def _in_turn(jobs: Iterable[Job], folds: int) -> None:
    for job in jobs:
        shared_task(job)
        for fold in job.pending(folds):
            fold_task(job, fold)


@lru_cache(maxsize=1)
def _trainer(job: Job) -> Any:  # noqa: ANN401  a Trainer; its module imports TensorFlow
    """Return the trainer of a model, built once per process: its graph serves all folds that this process is given."""
    from level1_cnn.quiet import import_tensorflow

    import_tensorflow()
    from level1_cnn.crossval import open_trainer

    return open_trainer(job, plan_of(job))


@lru_cache(maxsize=1)
def _plan(devices: str, deterministic: bool) -> Any:  # noqa: ANN401  a Plan; its module imports TensorFlow
    from level1_cnn.devices import plan_devices

    plan = plan_devices(devices, deterministic=deterministic)
    say(f"level one: {plan.describe()}")
    return plan
