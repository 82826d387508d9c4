"""A model to be trained in a run: its settings, its inputs, and the paths of its files."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from level1_cnn.experiment import Experiment
from runtime.errors import InputFault
from runtime.invocation import command
from runtime.provenance import check_outputs, is_fresh
from runtime.run_folder import Run

EMBEDDINGS_MARK = "embedded.json"  # mark of the embeddings and the network of a frozen model, in the model's folder
PRETRAIN = "pretrain"  # folder of a model's pretraining stage, in the model's folder
BACKBONE_FILE = "backbone.weights.h5"  # in the folder of the stage; other models can start from it


@dataclass(frozen=True)
class Job:
    """A model to be trained in a run; it can be sent to other processes, which share the run's folder."""

    run: Run
    name: str
    experiment: Experiment
    inputs_json: str  # JSON of the inputs that the model is made from
    devices: str = "auto"
    deterministic: bool = False

    @property
    def folder(self) -> Path:
        """The model's folder."""
        return self.run.level1 / self.name

    @property
    def pretrain_folder(self) -> Path:
        """The folder of the model's pretraining stage; it exists only if the model has such a stage."""
        return self.folder / PRETRAIN

    @property
    def network(self) -> Experiment:
        """The experiment with weights that a backbone family can load: ``pretrained:<model>`` is replaced by a path."""
        source = self.experiment.pretrained_model
        if source is None:
            return self.experiment
        return self.experiment.model_copy(update={"weights": str(pretrained_backbone(self.run, source))})

    @property
    def made_from(self) -> dict[str, Any]:
        """The inputs that the model is made from."""
        made_from: dict[str, Any] = json.loads(self.inputs_json)
        return made_from

    def fold_mark(self, fold: int) -> Path:
        """Return the path of the mark of a fold; it is written last, when the fold is finished."""
        return self.folder / f"fold_{fold}" / "done.json"

    def pending(self, folds: int) -> list[int]:
        """Return the folds that are not finished yet."""
        return [fold for fold in range(folds) if not is_fresh(self.fold_mark(fold), self.made_from)]


def part_marks(folder: Path) -> list[Path]:
    """Return the marks of the parts of a model in ``folder``: shared embeddings, pretraining stage, folds."""
    return sorted([*folder.glob(EMBEDDINGS_MARK), *folder.glob("*/done.json")])


def intact_fold_file(path: Path) -> Path:
    """Return ``path``, a file of a fold, after a check that it exists and is undamaged.

    Raises InputFault otherwise. A damaged file also costs the fold its mark, so that the fold is trained again.
    """
    remedy = f"{command('oof')} trains that fold again"
    check_outputs(path.parent / "done.json", remedy)
    if not path.is_file():
        raise InputFault(f"{path}: no such file; the weights of every fold are needed; {remedy}")
    return path


def pretrained_backbone(run: Run, model: str) -> Path:
    """Return the path of the backbone weights that the pretraining stage of a model writes."""
    return Run(run.folder).level1 / model / PRETRAIN / BACKBONE_FILE
