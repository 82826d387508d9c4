"""A tiny project: a drawn data folder, two small models, a quick recipe; several tests read what `make` makes of it."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from features.clinic.folder import draw_clinic
from runtime.run_folder import Run
from tests.sources import ROOT

TINY = """
backbone = "tiny"
variant = "tiny"
weights = "none"
image_size = 32
[training]
"""
MODELS = {
    "frozen": TINY + 'method = "frozen"\nlayers = "all"\n',
    "tuned": TINY
    + 'method = "finetune"\nepochs = 1\nbatch_size = 16\nlearning_rate = 0.01\ntargets = "diagnosis3"\n'
    + 'metadata = true\npooling = "gem"\n',
}
RECIPE = """
seeds = 2
learners = ["lgbm", "xgb", "ridge", "logistic", "rank_mean"]
blend = ["lgbm", "xgb", "ridge"]
submit = "blend"
ablation = false
[lgbm]
rounds = 20
[xgb]
rounds = 20
min_child_weight = 1
"""
PREVALENCE = 0.05
TRAIN, TEST = 120, 30  # pictures


class TinyProject:
    """A user's files before the first command: data, model TOMLs, recipe; written to ``folder`` if they are missing."""

    def __init__(self, folder: Path) -> None:
        self.data = draw_clinic(folder / "clinic", train=TRAIN, test=TEST, seed=1)
        self.models = [folder / f"{name}.toml" for name in MODELS]
        for path in self.models:
            path.write_text(MODELS[path.stem])
        self.recipe = folder / "quick.toml"
        self.recipe.write_text(RECIPE)

    def command(self, target: str, run: Run, **settings: str) -> list[str]:
        """Return the words of `make target RUN=run ...` with this project's files and ``settings``."""
        values = {
            "DATA": self.data,
            "RUN": run.folder,
            "MODELS": " ".join(map(str, self.models)),
            "RECIPE": self.recipe,
            "FOLDS": "3",
            "PREVALENCE": str(PREVALENCE),
        } | settings
        make = ["make", "-C", str(ROOT), "--no-print-directory", target]
        return [*make, *(f"{key}={value}" for key, value in values.items())]

    def make(self, target: str, run: Run, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run the command and return its exit code and output; a failure is not raised."""
        return subprocess.run(self.command(target, run, **settings), capture_output=True, text=True, check=False)


@dataclass(frozen=True)
class FinishedRun:
    """A run that `make submission` finished, its output, and its project. Tests read it and never change it."""

    run: Run
    output: str
    project: TinyProject

    @property
    def bundle(self) -> Path:
        """The bundle's folder."""
        return self.run.folder / "bundle"

    def copy_to(self, folder: Path) -> Run:
        """Copy the run and its decoded pictures to ``folder`` and return the copy, which a test may change."""
        return Run(Path(shutil.copytree(self.run.folder.parent, folder / "copied")) / "run")
