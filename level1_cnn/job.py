"""A model to be trained in a run: what it is made from, and where its parts lie."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from level1_cnn.experiment import Experiment
from runtime.errors import InputFault
from runtime.provenance import check_outputs, is_fresh
from runtime.run_folder import Run

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


def intact_fold_file(path: Path) -> Path:
    """Return ``path``, a file of a fold, once it is found as it was written.

    Raises InputFault when it is not there, or damaged: then the fold's mark is taken away, so that it is trained again.
    """
    check_outputs(path.parent / "done.json", "`make oof` trains that fold again")
    if not path.is_file():
        raise InputFault(f"{path}: not there; the weights of every fold are needed")
    return path


def pretrained_backbone(run: Run, model: str) -> Path:
    """Return where the pretraining stage of a run's model leaves the weights of its backbone."""
    return Run(run.folder).level1 / model / PRETRAIN / BACKBONE_FILE
