"""A tiny clinic, two tiny models and a quick recipe, and `make` on them: the run that tests of several rooms read."""

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
    "frozen": TINY + 'method = "frozen"\nregularisation = 0.001\n',
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


class Workshop:
    """What a user has before the first command, in ``folder``; made where it is not there yet."""

    def __init__(self, folder: Path) -> None:
        self.data = draw_clinic(folder / "clinic", train=TRAIN, test=TEST, seed=1)
        self.models = [folder / f"{name}.toml" for name in MODELS]
        for path in self.models:
            path.write_text(MODELS[path.stem])
        self.recipe = folder / "quick.toml"
        self.recipe.write_text(RECIPE)

    def command(self, target: str, run: Run, **settings: str) -> list[str]:
        """Return what a user would type."""
        values = {
            "DATA": self.data,
            "RUN": run.folder,
            "MODELS": " ".join(map(str, self.models)),
            "RECIPE": self.recipe,
            "FOLDS": "3",
            "PREVALENCE": str(PREVALENCE),
        } | settings
        typed = ["make", "-C", str(ROOT), "--no-print-directory", target]
        return [*typed, *(f"{key}={value}" for key, value in values.items())]

    def make(self, target: str, run: Run, **settings: str) -> subprocess.CompletedProcess[str]:
        """Type it, and return what came of it."""
        return subprocess.run(self.command(target, run, **settings), capture_output=True, text=True, check=False)


@dataclass(frozen=True)
class Finished:
    """A run that `make submission` finished, what it printed, and what it was made of: to be read, never changed."""

    run: Run
    shown: str
    workshop: Workshop

    @property
    def bundle(self) -> Path:
        """Its bundle's folder."""
        return self.run.folder / "bundle"

    def copied_to(self, folder: Path) -> Run:
        """Return a copy of the run in ``folder``, with its decoded pictures beside it, that a test may change."""
        return Run(Path(shutil.copytree(self.run.folder.parent, folder / "copied")) / "run")
