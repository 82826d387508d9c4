"""The rows that a network is trained on: the cases with their targets, weights and metadata."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from level1_cnn.data.metadata import encode_metadata
from level1_cnn.data.targets import class_weights, count_outputs, encode_targets, soft_targets
from level1_cnn.training_settings import Finetune, Targets
from runtime.errors import InputFault, list_names
from runtime.invocation import option


@dataclass(frozen=True)
class TrainingRows:
    """The n cases that one fit may see. Their pictures are not here but in the shards, under the same names."""

    names: list[str]
    targets: np.ndarray  # float32 (n, outputs), see targets.py; one column when binary
    weights: np.ndarray  # float32 (n,): factor of the row's loss
    metadata: np.ndarray  # float32 (n, m); m = 0 without a metadata branch
    malignant: np.ndarray  # bool (n,): the rows that malignant_share counts
    external: np.ndarray  # bool (n,): the rows that external_share counts


def model_rows(cases: pd.DataFrame, settings: Finetune) -> TrainingRows:
    """Return all rows that any fit of a model may see: train, external and, with pseudo-labels, test cases."""
    roles = ["train", "extra", *(["test"] if settings.pseudo else [])]
    rows = cases[cases["role"].isin(roles)]
    targets = np.zeros((len(rows), count_outputs(settings.targets)), np.float32)
    has_label = rows["role"].ne("test").to_numpy()
    targets[has_label] = encode_targets(rows[has_label], settings.targets)
    return _rows(rows, targets, settings)


def is_in_training(cases: pd.DataFrame, settings: Finetune) -> pd.Series:
    """Return which cases (n,) the fits of the folds may be trained on: train cases and, unless apart, external ones."""
    return cases["role"].isin(["train", "extra"] if settings.external == "joint" else ["train"])


def fold_rows(
    cases: pd.DataFrame, settings: Finetune, fold: int, exclusions: Collection[str], pseudo: pd.Series | None
) -> TrainingRows:
    """Return the rows that the network of fold ``fold`` is trained on: no case of the fold and none of ``exclusions``.

    An external case of a training patient has that patient's fold and is left out of its training too.
    ``pseudo`` holds melanoma probabilities of test cases, by a model that was trained without this fold. Raises
    InputFault if one of them is missing.
    """
    in_training = is_in_training(cases, settings) & (cases["fold"] != fold)
    rows = cases[in_training & ~cases.index.isin(list(exclusions))]
    labelled_rows = _rows(rows, encode_targets(rows, settings.targets), settings)
    if settings.pseudo is None or pseudo is None:
        return labelled_rows
    return _concatenate(labelled_rows, _pseudo_rows(cases, settings, settings.pseudo.weight, pseudo, exclusions))


def epoch_pictures(rows: TrainingRows, settings: Finetune) -> float:
    """Return the pictures of an epoch: every row once or, with an external share, every own row once."""
    if not settings.external_share:
        return len(rows.names)
    return float((~rows.external).sum() / (1 - settings.external_share))


def external_rows(
    cases: pd.DataFrame, settings: Finetune, scheme: Targets, exclusions: Collection[str]
) -> TrainingRows:
    """Return the external rows of a pretraining stage, except ``exclusions``; raise InputFault when none are left.

    All folds share the stage, so the cases of training patients, which have a fold, are left out.
    """
    is_shared = (cases["role"] == "extra") & (cases["fold"] < 0)
    rows = cases[is_shared & ~cases.index.isin(list(exclusions))]
    if rows.empty:
        raise InputFault(
            "a pretraining stage needs external pictures, but the run has none that it may show; "
            f"add a folder of them with {option('extra', 'folder')}"
        )
    return _rows(rows, encode_targets(rows, scheme), settings)


def _rows(rows: pd.DataFrame, targets: np.ndarray, settings: Finetune) -> TrainingRows:
    metadata = encode_metadata(rows) if settings.metadata else np.zeros((len(rows), 0), np.float32)
    weights = class_weights(targets) if settings.class_weights == "balanced" else np.ones(len(rows), np.float32)
    malignant = (rows["target"] == 1).to_numpy()
    external = (rows["role"] == "extra").to_numpy()
    return TrainingRows(
        [str(name) for name in rows.index], targets, weights.astype(np.float32), metadata, malignant, external
    )


def _pseudo_rows(
    cases: pd.DataFrame, settings: Finetune, weight: float, probability: pd.Series, exclusions: Collection[str]
) -> TrainingRows:
    tests = cases[(cases["role"] == "test") & ~cases.index.isin(list(exclusions))]
    probabilities = probability.reindex(tests.index)
    if probabilities.isna().any():
        raise InputFault(
            f"pseudo-labels are missing for {list_names(tests.index[probabilities.isna()])}; "
            "their model must predict every test case"
        )
    targets = soft_targets(probabilities.to_numpy(), settings.targets)
    # Soft targets have no class that class weights could count.
    rows = _rows(tests, targets, settings.model_copy(update={"class_weights": "none"}))
    return replace(rows, weights=np.full(len(tests), weight, np.float32), malignant=(probabilities >= 0.5).to_numpy())


def _concatenate(first: TrainingRows, second: TrainingRows) -> TrainingRows:
    def both(name: str) -> np.ndarray:
        """Return the array ``name`` of both tables as one."""
        return np.concatenate([getattr(first, name), getattr(second, name)])

    arrays = {name: both(name) for name in ("targets", "weights", "metadata", "malignant", "external")}
    return TrainingRows(first.names + second.names, **arrays)
