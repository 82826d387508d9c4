"""Schemes of training targets: what the network's outputs mean, and the melanoma log-odds they give.

A row of targets, (outputs,) float32, says what is known of one case. In the binary scheme it is the probability of a
melanoma. In the others it is a distribution over the classes, with one addition: knowing only that a case is NOT a
melanoma is written as 1 in every class but melanoma (a set of allowed classes), and costs -log(1 - p_melanoma), so
that an undiagnosed benign case is pushed towards no benign class. The sum of such a row is outputs - 1, of a
distribution 1; hence any convex mixture of rows (mixup, pseudo-labels, smoothing) still tells how much of it is the
set: u = (sum - 1) / (outputs - 2), and the loss, linear in the rows, is the mixture of their losses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from level1_cnn.data.diagnoses import KINDS, MELANOMA, NEVUS, OTHER, UNKNOWN, read_diagnoses
from level1_cnn.experiment import Targets
from runtime.errors import Faults, InputFault, list_names

if TYPE_CHECKING:
    import pandas as pd

CLASSES: Mapping[Targets, tuple[str, ...]] = {
    "binary": (MELANOMA,),
    "diagnosis3": (MELANOMA, NEVUS, OTHER),
    # The 2020 winner's: a benign case that nobody diagnosed is a class of its own (arXiv 2010.05351).
    "diagnosis9": (NEVUS, MELANOMA, "BCC", "BKL", "AK", "SCC", "VASC", "DF", UNKNOWN),
}


def outputs(scheme: Targets) -> int:
    """Return how many logits a network of ``scheme`` gives: 1 for a sigmoid, otherwise the classes of a softmax."""
    return len(CLASSES[scheme])


def melanoma_column(scheme: Targets) -> int:
    """Return which of the outputs is melanoma."""
    return CLASSES[scheme].index(MELANOMA)


def encode(cases: pd.DataFrame, scheme: Targets) -> np.ndarray:
    """Return the targets of training cases, float32 (n, outputs), as the module describes them.

    Reads ``target`` (1 is melanoma) and, except in the binary scheme, ``diagnosis`` if there is one. A malignant case
    without a diagnosis is a melanoma. Raises InputFault for targets other than 0 and 1, for unknown spellings, and for
    diagnoses that contradict the target.
    """
    malignant = _malignant(cases)
    if scheme == "binary":
        return malignant[:, np.newaxis].astype(np.float32)
    rows = _rows(scheme)
    kinds = _kinds(cases, malignant)
    return rows[[KINDS.index(kind) for kind in kinds]]


def soft(probability: np.ndarray, scheme: Targets) -> np.ndarray:
    """Return targets (n, outputs) float32 of cases of which only a melanoma probability (n,) is known.

    The rest of the probability is "not a melanoma", of whichever kind. Raises InputFault for values outside 0..1 and
    for missing ones.
    """
    bad = ~((probability >= 0) & (probability <= 1))
    if bad.any():
        raise InputFault(
            f"{int(bad.sum())} of {len(bad)} soft targets are not probabilities; the first: {probability[bad][0]}"
        )
    rows = np.repeat(1.0 - probability[:, np.newaxis], outputs(scheme), axis=1)
    rows[:, melanoma_column(scheme)] = probability
    return rows.astype(np.float32)


def melanoma_logits(logits: np.ndarray, scheme: Targets) -> np.ndarray:
    """Return the log-odds of melanoma (...), log p - log(1 - p), of a network's logits (..., outputs).

    For a softmax that is the melanoma logit less the log-sum-exp of the others, exact for logits of any size.
    """
    column = melanoma_column(scheme)
    melanoma = logits[..., column]
    if scheme == "binary":
        return melanoma
    return np.asarray(melanoma - np.logaddexp.reduce(np.delete(logits, column, axis=-1), axis=-1))


def class_weights(targets: np.ndarray) -> np.ndarray:
    """Return what each row (n,) float32 counts for when every class is to count the same; their mean is 1.

    A class weighs n / (classes * count), classes being those that occur (scikit-learn's "balanced"), and a row the
    mean over what it may be. A case known only to be benign is shared out by the frequencies of the known benign
    classes among these rows. Pass training rows only: the counts are theirs.
    """
    shares = _shares(np.asarray(targets, np.float64))
    counts = shares.sum(axis=0)
    occurring = counts > 0
    weights = np.divide(len(shares), occurring.sum() * counts, out=np.zeros_like(counts), where=occurring)
    return np.asarray(shares @ weights, np.float32)


def _shares(targets: np.ndarray) -> np.ndarray:
    """Return rows as plain distributions (n, classes); binary ones over benign and melanoma."""
    width = targets.shape[1]
    if width == 1:
        return np.hstack([1 - targets, targets])
    column = next(melanoma_column(scheme) for scheme in CLASSES if outputs(scheme) == width)
    benign = np.arange(width) != column
    # Rounded, or float32's last digits in soft rows would make a class occur, and weigh millions.
    undecided = np.round((targets.sum(axis=1, keepdims=True) - 1) / (width - 2), 6)
    known = np.round(np.where(benign, targets - undecided, targets), 6)
    counts = np.where(benign, known.sum(axis=0), 0.0)
    frequencies = counts / counts.sum() if counts.sum() > 0 else benign / benign.sum()
    return np.asarray(known + undecided * frequencies)


def _rows(scheme: Targets) -> np.ndarray:
    """Return the target row of every kind of lesion, float32 (kinds, outputs), in the order of KINDS."""
    classes = CLASSES[scheme]
    spare = classes[-1]  # the last class takes the kinds that have none of their own
    chosen: list[Sequence[str]] = [[kind if kind in classes else spare] for kind in KINDS]
    if UNKNOWN not in classes:
        chosen[KINDS.index(UNKNOWN)] = [name for name in classes if name != MELANOMA]
    return np.array([[float(name in allowed) for name in classes] for allowed in chosen], np.float32)


def _malignant(cases: pd.DataFrame) -> np.ndarray:
    target = cases["target"].to_numpy(dtype=float)
    bad = ~np.isin(target, (0.0, 1.0))
    if bad.any():
        raise InputFault(
            f"target must be 0 or 1 where a network is trained; it is not in {list_names(cases.index[bad])}"
        )
    return np.asarray(target == 1)


def _kinds(cases: pd.DataFrame, malignant: np.ndarray) -> list[str]:
    if "diagnosis" not in cases:
        return [MELANOMA if positive else UNKNOWN for positive in malignant]
    kinds = np.array(read_diagnoses(cases["diagnosis"]), dtype=object)
    _check_agreement(cases, kinds, malignant)
    return list(np.where(malignant, MELANOMA, kinds))


def _check_agreement(cases: pd.DataFrame, kinds: np.ndarray, malignant: np.ndarray) -> None:
    faults = Faults()
    benign_melanoma = ~malignant & (kinds == MELANOMA)
    if benign_melanoma.any():
        faults.add(f"diagnosed as melanoma, but target is 0: {list_names(cases.index[benign_melanoma])}")
    other_malignant = malignant & ~np.isin(kinds, (MELANOMA, UNKNOWN))
    if other_malignant.any():
        found = ", ".join(sorted(set(kinds[other_malignant])))
        faults.add(f"target is 1, but diagnosed as {found}: {list_names(cases.index[other_malignant])}")
    faults.raise_if_any('diagnosis contradicts target; where target means more than melanoma, use targets = "binary"')
