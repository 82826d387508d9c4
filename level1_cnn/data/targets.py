"""Schemes of training targets: the meaning of the network's outputs, and the log-odds of melanoma computed from them.

A row of targets, (outputs,) float32, describes the knowledge about one case. In the binary scheme it is the probability
of melanoma. In the other schemes it is a distribution over the classes, with one addition: if a case is only known NOT
to be a melanoma, its row has 1 in every class except melanoma (the set of possible classes). The loss of such a row is
-log(1 - p_melanoma), which favours no benign class. Its sum is outputs - 1, the sum of a distribution is 1. Therefore
the share of the set in any convex mixture of rows (mixup, pseudo-labels, smoothing) is u = (sum - 1) / (outputs - 2),
and the loss, which is linear in the rows, is the mixture of their losses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from level1_cnn.data.diagnoses import KINDS, MELANOMA, NEVUS, OTHER, UNKNOWN, read_diagnoses
from level1_cnn.training_settings import Targets
from runtime.errors import Faults, InputFault, list_names

if TYPE_CHECKING:
    import pandas as pd

CLASSES: Mapping[Targets, tuple[str, ...]] = {
    "binary": (MELANOMA,),
    "diagnosis3": (MELANOMA, NEVUS, OTHER),
    # The classes of the 2020 winner (arXiv 2010.05351), in which benign cases without a diagnosis are a class.
    "diagnosis9": (NEVUS, MELANOMA, "BCC", "BKL", "AK", "SCC", "VASC", "DF", UNKNOWN),
}


def count_outputs(scheme: Targets) -> int:
    """Return the number of logits of a network: 1 for a sigmoid, otherwise the number of classes of a softmax."""
    return len(CLASSES[scheme])


def melanoma_column(scheme: Targets) -> int:
    """Return the index of melanoma among the outputs."""
    return CLASSES[scheme].index(MELANOMA)


def encode_targets(cases: pd.DataFrame, scheme: Targets) -> np.ndarray:
    """Return the targets of training cases, float32 (n, outputs), as the module describes them.

    Reads the column ``target`` (1 is melanoma) and, except in the binary scheme, the column ``diagnosis`` if it exists.
    A malignant case without a diagnosis is a melanoma. Raises InputFault for targets other than 0 and 1, for unknown
    spellings, and for diagnoses that contradict the target.
    """
    malignant = _malignant(cases)
    if scheme == "binary":
        return malignant[:, np.newaxis].astype(np.float32)
    rows = _rows(scheme)
    kinds = _kinds(cases, malignant)
    return rows[[KINDS.index(kind) for kind in kinds]]


def soft_targets(probability: np.ndarray, scheme: Targets) -> np.ndarray:
    """Return targets (n, outputs) float32 of cases for which only a melanoma probability (n,) is known.

    The rest of the probability means "not a melanoma", without a choice of benign class. Raises InputFault for missing
    values and for values outside 0..1.
    """
    invalid = ~((probability >= 0) & (probability <= 1))
    if invalid.any():
        raise InputFault(
            f"{int(invalid.sum())} of {len(invalid)} soft targets are not probabilities between 0 and 1; the first is "
            f"{probability[invalid][0]}"
        )
    rows = np.repeat(1.0 - probability[:, np.newaxis], count_outputs(scheme), axis=1)
    rows[:, melanoma_column(scheme)] = probability
    return rows.astype(np.float32)


def melanoma_logits(logits: np.ndarray, scheme: Targets) -> np.ndarray:
    """Return the log-odds of melanoma (...), log p - log(1 - p), from a network's logits (..., outputs).

    For a softmax this is the melanoma logit minus the log-sum-exp of the other logits, exact for logits of any size.
    """
    column = melanoma_column(scheme)
    melanoma = logits[..., column]
    if scheme == "binary":
        return melanoma
    return np.asarray(melanoma - np.logaddexp.reduce(np.delete(logits, column, axis=-1), axis=-1))


def class_weights(targets: np.ndarray) -> np.ndarray:
    """Return a weight for each row (n,) float32, with mean 1, so that every class has the same total weight.

    The weight of a class is n / (classes * count), where only classes that occur are counted (scikit-learn's
    "balanced"); the weight of a row is the mean over the classes of its target. A case known only to be benign is
    divided among the benign classes by their frequencies in these rows. Pass training rows only, because the counts
    come from the rows.
    """
    shares = _class_shares(np.asarray(targets, np.float64))
    counts = shares.sum(axis=0)
    occurs = counts > 0
    weights = np.divide(len(shares), occurs.sum() * counts, out=np.zeros_like(counts), where=occurs)
    return np.asarray(shares @ weights, np.float32)


def _class_shares(targets: np.ndarray) -> np.ndarray:
    """Return the rows as distributions (n, classes) that sum to 1; binary rows over benign and melanoma."""
    width = targets.shape[1]
    if width == 1:
        return np.hstack([1 - targets, targets])
    column = next(melanoma_column(scheme) for scheme in CLASSES if count_outputs(scheme) == width)
    benign = np.arange(width) != column
    # Without rounding, the last digits of float32 in soft rows would count as a class with a weight of millions.
    any_benign = np.round((targets.sum(axis=1, keepdims=True) - 1) / (width - 2), 6)
    distribution = np.round(np.where(benign, targets - any_benign, targets), 6)
    counts = np.where(benign, distribution.sum(axis=0), 0.0)
    frequencies = counts / counts.sum() if counts.sum() > 0 else benign / benign.sum()
    return np.asarray(distribution + any_benign * frequencies)


def _rows(scheme: Targets) -> np.ndarray:
    """Return the target row of every kind of lesion, float32 (kinds, outputs), in the order of KINDS."""
    classes = CLASSES[scheme]
    rest = classes[-1]  # the class of all kinds that have no class of their own
    possible: list[Sequence[str]] = [[kind if kind in classes else rest] for kind in KINDS]
    if UNKNOWN not in classes:
        possible[KINDS.index(UNKNOWN)] = [name for name in classes if name != MELANOMA]
    return np.array([[float(name in options) for name in classes] for options in possible], np.float32)


def _malignant(cases: pd.DataFrame) -> np.ndarray:
    target = cases["target"].to_numpy(dtype=float)
    invalid = ~np.isin(target, (0.0, 1.0))
    if invalid.any():
        raise InputFault(
            f"column target must hold 0 or 1 to train a network; it holds {target[invalid][0]:g} in the first of "
            f"{list_names(cases.index[invalid])}"
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
        diagnoses = ", ".join(sorted(set(kinds[other_malignant])))
        faults.add(f"target is 1, but diagnosed as {diagnoses}: {list_names(cases.index[other_malignant])}")
    faults.raise_if_any(
        'the columns diagnosis and target contradict each other; use targets = "binary" if target = 1 does not mean '
        "melanoma alone"
    )
