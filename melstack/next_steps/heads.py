"""The learning curve of a frozen network's head: the same fit on growing shares of the training patients."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from level1_cnn.training.linear_head import WITHOUT_FOLDS, fit_head
from level2_stack.outlook.refit import Part, rows_of_part
from runtime.files import read_json
from runtime.run_folder import Run
from runtime.tables import read_table

Floats = NDArray[np.float64]


def frozen_settings(run: Run, network: str) -> Mapping[str, Any] | None:
    """Return the settings of a network whose head alone was trained and whose embeddings are in the run, else None."""
    mark, folder = run.level1 / network / "run.json", run.level1 / network
    settings: dict[str, Any] = read_json(mark).get("made_from", {}).get("settings", {}) if mark.is_file() else {}
    is_frozen = isinstance(settings, dict) and settings.get("training", {}).get("method") == "frozen"
    return settings if is_frozen and (folder / "embeddings.parquet").is_file() else None


def head_scores(run: Run, network: str, train: pd.DataFrame, parts: Sequence[Part]) -> Iterator[tuple[Part, Floats]]:
    """Yield each of ``parts`` of the patients with the out-of-fold logits (n,) of the head of a frozen ``network``.

    ``train`` are the n training cases. The rows are the mean embeddings over the views, and the regularisation is that
    of the run's heads: per view, a head that is fitted to every view as a row counts each case as often as it has
    views. External cases are left out.
    """
    settings = frozen_settings(run, network)
    if settings is None:
        raise ValueError(f"{network}: no frozen network with embeddings")
    points = read_table(run.level1 / network / "embeddings.parquet").loc[train.index].to_numpy(np.float32)
    y, folds = train["target"].to_numpy(np.float64), train["fold"].to_numpy(np.int64)
    groups, strength = train["patient_id"].to_numpy(object), _strength(run, network, settings)
    for part in parts:
        in_part, scores = rows_of_part(part, y, folds, groups.astype(str)), np.zeros(len(y))
        for fold in np.unique(folds):
            rows = in_part & (folds != fold)
            head = fit_head(points[rows], y[rows], strength, folds[rows])
            scores[folds == fold] = points[folds == fold] @ head.weights + head.intercept
        yield part, scores


def _strength(run: Run, network: str, settings: Mapping[str, Any]) -> float:
    """Return the regularisation of the run's heads, for rows that are means over the views."""
    training = settings["training"]
    values = [training.get("regularisation", "auto")]
    if values == ["auto"]:
        marks = sorted((run.level1 / network).glob("fold_*/done.json"))
        values = [read_json(mark).get("regularisation", WITHOUT_FOLDS) for mark in marks] or [WITHOUT_FOLDS]
    views = 1 if training.get("layers", "last") == "all" else max(1, len(settings.get("views", ())))
    return float(np.median(values)) * views
