"""The rows that a network is trained on: which cases, with which targets, weights and metadata."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from level1_cnn.data.metadata import encode_metadata
from level1_cnn.data.targets import class_weights, encode, outputs, soft
from level1_cnn.experiment import Finetune, Targets
from runtime.errors import InputFault, list_names


@dataclass(frozen=True)
class TrainingRows:
    """The n cases that one fit may see; a picture is found in the shards by its name, everything else stands here."""

    names: list[str]
    targets: np.ndarray  # float32 (n, outputs): probabilities of the classes; one column when binary
    weights: np.ndarray  # float32 (n,): what a row counts in the loss
    metadata: np.ndarray  # float32 (n, m); m = 0 without a metadata branch
    malignant: np.ndarray  # bool (n,): what a malignant_share means
    external: np.ndarray  # bool (n,): what an external_share means


def model_rows(cases: pd.DataFrame, settings: Finetune) -> TrainingRows:
    """Return every row that some fit of a model may see: train, external and, with pseudo-labels, test cases."""
    roles = ["train", "extra", *(["test"] if settings.pseudo else [])]
    rows = cases[cases["role"].isin(roles)]
    blank = np.zeros((len(rows), outputs(settings.targets)), np.float32)
    labelled = rows["role"].ne("test").to_numpy()
    blank[labelled] = encode(rows[labelled], settings.targets)
    return _rows(rows, blank, settings)


def fold_rows(
    cases: pd.DataFrame, settings: Finetune, fold: int, excluded: Collection[str], pseudo: pd.Series | None
) -> TrainingRows:
    """Return the rows that fold ``fold`` is trained on: never a case of the fold, never one named in ``excluded``.

    ``pseudo`` gives the melanoma probability of test cases as a model without this fold saw them.
    """
    roles = {"train", "extra"} if settings.external == "joint" else {"train"}
    shown = cases["role"].isin(roles) & ~((cases["role"] == "train") & (cases["fold"] == fold))
    rows = cases[shown & ~cases.index.isin(list(excluded))]
    labelled = _rows(rows, encode(rows, settings.targets), settings)
    if settings.pseudo is None or pseudo is None:
        return labelled
    return _joined(labelled, _pseudo_rows(cases, settings, settings.pseudo.weight, pseudo, excluded))


def epoch_pictures(rows: TrainingRows, settings: Finetune) -> float:
    """Return how many pictures an epoch shows: every row once, or with an external share every own row once."""
    if not settings.external_share:
        return len(rows.names)
    return float((~rows.external).sum() / (1 - settings.external_share))


def external_rows(cases: pd.DataFrame, settings: Finetune, scheme: Targets, excluded: Collection[str]) -> TrainingRows:
    """Return the external rows of a pretraining stage; raise InputFault when there are none."""
    rows = cases[(cases["role"] == "extra") & ~cases.index.isin(list(excluded))]
    if rows.empty:
        raise InputFault("a pretraining stage needs external pictures; EXTRA='folder ...' brings them into the run")
    return _rows(rows, encode(rows, scheme), settings)


def _rows(rows: pd.DataFrame, targets: np.ndarray, settings: Finetune) -> TrainingRows:
    width = encode_metadata(rows) if settings.metadata else np.zeros((len(rows), 0), np.float32)
    balanced = settings.class_weights == "balanced"
    weights = class_weights(targets) if balanced else np.ones(len(rows), np.float32)
    malignant = (rows["target"] == 1).to_numpy()
    external = (rows["role"] == "extra").to_numpy()
    return TrainingRows(
        [str(name) for name in rows.index], targets, weights.astype(np.float32), width, malignant, external
    )


def _pseudo_rows(
    cases: pd.DataFrame, settings: Finetune, weight: float, probability: pd.Series, excluded: Collection[str]
) -> TrainingRows:
    tests = cases[(cases["role"] == "test") & ~cases.index.isin(list(excluded))]
    known = probability.reindex(tests.index)
    if known.isna().any():
        raise InputFault(f"pseudo-labels are missing for {list_names(tests.index[known.isna()])}")
    rows = _rows(tests, soft(known.to_numpy(), settings.targets), replace_class_weights(settings))
    return replace(rows, weights=np.full(len(tests), weight, np.float32), malignant=(known >= 0.5).to_numpy())


def replace_class_weights(settings: Finetune) -> Finetune:
    """Return the settings without class weights: soft targets have no class to count."""
    return settings.model_copy(update={"class_weights": "none"})


def _joined(first: TrainingRows, second: TrainingRows) -> TrainingRows:
    def both(name: str) -> np.ndarray:
        return np.concatenate([getattr(first, name), getattr(second, name)])

    arrays = {name: both(name) for name in ("targets", "weights", "metadata", "malignant", "external")}
    return TrainingRows(first.names + second.names, **arrays)
