"""Two folders of labelled pictures: a network's head is fitted to one of them, home, and applied to the other one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from features.cases.external import read_externals
from features.cases.fold_design.by_patient import assign_folds
from features.folder.data_folder import DataFolder
from features.leaks.lookalikes import find_lookalikes
from features.leaks.traces import read_or_make_traces
from runtime.errors import Faults, InputFault

FOLDS, SEED = 5, 0


@dataclass(frozen=True)
class PictureSet:
    """Labelled pictures of one folder: ``cases`` has the columns picture (path), target, patient_id and fold."""

    name: str
    cases: pd.DataFrame

    @property
    def target(self) -> np.ndarray:
        """The targets (n,) as 0 and 1."""
        return self.cases["target"].to_numpy(dtype=np.float64)

    @property
    def groups(self) -> np.ndarray:
        """The patients (n,), or the lesions of a set without patients."""
        return self.cases["patient_id"].to_numpy(dtype=object)

    @property
    def folds(self) -> np.ndarray:
        """The folds (n,); no patient spans two of them."""
        return self.cases["fold"].to_numpy(dtype=int)


def read_sets(folders: Sequence[Path], malignant: int, benign: int, cache: Path) -> list[PictureSet]:
    """Return at most ``malignant`` and ``benign`` pictures of each of two folders.

    Of the second folder, pictures that show the same as another picture of either folder are left out. What they are
    compared by is kept in ``cache``. Raises InputFault where a folder has no labelled pictures.
    """
    faults = Faults()
    cases = read_externals([DataFolder.open(folder) for folder in folders], pd.Index([]), faults)
    faults.raise_if_any("the two folders")
    samples = [_sample(cases[cases["source"] == name], malignant, benign) for name in pd.unique(cases["source"])]
    if len(samples) < 2:
        raise InputFault("the measure needs two folders of labelled pictures with different names")
    both = pd.concat(samples)
    paths = {str(name): Path(picture) for name, picture in both["picture"].items()}
    pairs = find_lookalikes(read_or_make_traces(cache, paths))
    copies = set(pairs["first"]) | set(pairs["second"])
    first, second = samples
    return [_with_folds(first), _with_folds(second.drop(index=[name for name in second.index if name in copies]))]


def _sample(cases: pd.DataFrame, malignant: int, benign: int) -> pd.DataFrame:
    counts = {1: malignant, 0: benign}
    classes = [cases[cases["target"] == target].sort_index() for target in counts]
    sizes = [min(most, len(rows)) for rows, most in zip(classes, counts.values(), strict=True)]
    parts = [rows.sample(size, random_state=SEED) for rows, size in zip(classes, sizes, strict=True)]
    return pd.concat(parts).sort_index()


def _with_folds(cases: pd.DataFrame) -> PictureSet:
    folds = assign_folds(cases["patient_id"], cases["target"], count=FOLDS, seed=SEED)
    table = cases.assign(fold=folds)[["picture", "target", "patient_id", "fold"]]
    return PictureSet(str(cases["source"].iloc[0]), table)
