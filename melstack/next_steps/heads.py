"""The learning curve of a frozen network's head: the same fit on growing shares of the training patients."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from level1_cnn.finished import is_frozen, read_trained_experiment
from level1_cnn.training.linear_head import WITHOUT_FOLDS, fit_head
from level1_cnn.training_settings import FrozenFeatures
from level2_stack.outlook.refit import Part, rows_of_part
from runtime.files import read_json
from runtime.run_folder import Run
from runtime.tables import read_table

Floats = NDArray[np.float64]


def has_head(run: Run, network: str) -> bool:
    """Return whether the head alone of a network was trained, and its embeddings are in the run."""
    return is_frozen(run, network) and (run.level1 / network / "embeddings.parquet").is_file()


def head_scores(run: Run, network: str, train: pd.DataFrame, parts: Sequence[Part]) -> Iterator[tuple[Part, Floats]]:
    """Yield each of ``parts`` of the patients with the out-of-fold logits (n,) of the head of a frozen ``network``.

    ``train`` are the n training cases. The rows are the mean embeddings over the views, and the regularisation is that
    of the run's heads: per view, a head that is fitted to every view as a row counts each case as often as it has
    views. External cases are left out.
    """
    strength = _strength(run, network)
    points = read_table(run.level1 / network / "embeddings.parquet").loc[train.index].to_numpy(np.float32)
    y, folds = train["target"].to_numpy(np.float64), train["fold"].to_numpy(np.int64)
    groups = train["patient_id"].to_numpy(object)
    for part in parts:
        in_part, scores = rows_of_part(part, y, folds, groups.astype(str)), np.zeros(len(y))
        for fold in np.unique(folds):
            rows = in_part & (folds != fold)
            head = fit_head(points[rows], y[rows], strength, folds[rows])
            scores[folds == fold] = points[folds == fold] @ head.weights + head.intercept
        yield part, scores


def _strength(run: Run, network: str) -> float:
    """Return the regularisation of the run's heads, for rows that are means over the views."""
    experiment = read_trained_experiment(run, network)
    training = experiment.training
    if not isinstance(training, FrozenFeatures):
        raise ValueError(f"{network}: not a frozen network")
    views = 1 if training.layers == "all" else len(experiment.views)
    if training.regularisation != "auto":
        return training.regularisation * views
    marks = sorted((run.level1 / network).glob("fold_*/done.json"))
    choices = [read_json(mark).get("regularisation", WITHOUT_FOLDS) for mark in marks] or [WITHOUT_FOLDS]
    return float(np.median(choices)) * views
