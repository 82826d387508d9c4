"""A contact sheet of one model's augmentations, on pictures of a run."""

from pathlib import Path

from features.faults import InputFault
from features.runs import Run
from level1_cnn.augment.sheet import augmentation_sheet
from level1_cnn.experiment import Experiment, Finetune
from level1_cnn.pipeline import picture_batches
from level1_cnn.shards import shard_files

PICTURES = 3


def draw_sheet(run: Run, experiment: Experiment) -> Path:
    """Write augment_sheet.png into the run's folder, of its first training pictures, and return its path.

    Raises InputFault for a frozen network, which is never shown a changed picture.
    """
    if not isinstance(experiment.training, Finetune):
        raise InputFault("a frozen network is shown no changed picture; MODEL must name one that is fine-tuned")
    cases = run.read_cases()
    train = cases[cases["role"] == "train"].sort_values("target", ascending=False, kind="stable")
    names = [*train.index[:2], train.index[-1]][:PICTURES]
    files = shard_files(run, experiment.image_size)
    pictures = [picture for _, batch in picture_batches(files, PICTURES, names) for picture in batch]
    return augmentation_sheet(pictures, experiment.training.augmentation, run.folder / "augment_sheet.png")
