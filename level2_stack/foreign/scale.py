"""Turn scores that can only be logits, percent or ranks into probabilities."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.metrics import log_loss

from level2_stack.foreign.checks import Findings
from level2_stack.foreign.messages import WARNING
from level2_stack.foreign.witnesses.candidate import Candidate

LEAST_RANKS = 20  # scores from which an even spread cannot be chance
MOST_UNEVEN = 0.3  # times 1/sqrt(n): that near to the uniform distribution, a sample of it is once in 100,000
LEAST_PERCENT = 20  # the largest score; smaller ones could be sums over the models of folds
LARGEST_LOGIT = 100
ORDER_ONLY = "their calibration is lost: level two can use their order only"


@dataclass(frozen=True)
class Scale:
    """A scale that is not that of probabilities: ``fits`` (oof.csv, target), ``allows`` (test.csv), the ``mapping``."""

    name: str
    fits: Callable[[pd.Series, pd.Series], bool]
    allows: Callable[[pd.Series], bool]
    mapping: Callable[[pd.Series], pd.Series]
    words: str


def read_scale(network: Candidate, target: pd.Series) -> None:
    """Replace scores of ``network`` that are whole ranks, percent or logits by probabilities, and say so.

    ``target`` of the training cases decides where the range of the scores alone cannot. Evenly spread scores are
    ranks: a warning says that their calibration is lost. Scores of other scales stay as they are.
    """
    oof = network.score("train").dropna()
    scale = next((scale for scale in SCALES if scale.fits(oof, target.reindex(oof.index))), None)
    if scale is None:
        _warn_of_ranks(network)
        return
    tests = [role for role in ("test",) if role in network.parts]
    if not all(scale.allows(network.score(role)) for role in tests):
        network.findings.faults.append(
            f"{network.where('train')} holds {scale.name}, but {network.where('test')} does not; bring both to "
            "probabilities"
        )
        return
    for role in ("train", *tests):
        network.parts[role] = network.parts[role].assign(score=scale.mapping(network.score(role)))
    prefix = WARNING if scale.words == ORDER_ONLY else ""
    sentence = f"{prefix}{network.where('train')}: the scores are {scale.name}; {scale.words}"
    if prefix:
        network.findings.notes.append(sentence)
    else:
        network.findings.add_reading(sentence)


def may_have_scale(scores: pd.Series) -> bool:
    """Return whether scores outside [0, 1] may have another scale, which the target could tell."""
    values = scores.dropna()
    return _are_ranks(values) or _are_percent(values) or _may_be_logits(values)


def add_range_fault(scores: pd.Series, outside: str, where: str, findings: Findings) -> None:
    """Add the fault that ``scores`` are outside [0, 1] (``outside`` says which), with the step that corrects it."""
    step = "divide sums by the number of models"
    if (scores < 0).any():
        step = "of logits x, write 1 / (1 + exp(-x))"
    findings.faults.append(f"{where}: {outside}; expected probabilities: {step}")


def _warn_of_ranks(network: Candidate) -> None:
    """Add a warning if the scores are spread evenly from 0 to 1."""
    roles = [role for role in network.parts if _is_even(network.score(role).dropna())]
    if roles:
        names = " and ".join(network.where(role) for role in roles)
        network.findings.notes.append(f"{WARNING}{names}: the scores are ranks, not probabilities; {ORDER_ONLY}")


def _is_even(scores: pd.Series) -> bool:
    """Return whether ``scores`` are spread evenly from 0 to 1, as ranks divided by their number are."""
    count = len(scores)
    if count < LEAST_RANKS or not scores.between(0, 1).all():
        return False
    expected = (np.arange(count) + 0.5) / count
    return bool(np.abs(np.sort(scores) - expected).max() < MOST_UNEVEN / np.sqrt(count))


def _are_ranks(scores: pd.Series, target: pd.Series | None = None) -> bool:
    """Return whether ``scores`` are their own ranks, counted from 0 or 1."""
    if len(scores) < 3 or scores.max() <= 1:
        return False
    ranks = [scores.rank(), scores.rank(method="min"), scores.rank(method="max"), scores.rank(method="dense")]
    return any(np.array_equal(each - start, scores) for each in ranks for start in (0, 1))


def _are_percent(scores: pd.Series, target: pd.Series | None = None) -> bool:
    return bool(scores.min() >= 0 and LEAST_PERCENT < scores.max() <= 100) and not _are_ranks(scores)


def _may_be_percent(scores: pd.Series) -> bool:
    return bool(scores.between(0, 100).all() and (scores > 1).any())


def _may_be_logits(scores: pd.Series) -> bool:
    return bool(scores.min() < 0 < scores.max() and scores.abs().max() <= LARGEST_LOGIT)


def _are_logits(scores: pd.Series, target: pd.Series) -> bool:
    """Return whether ``scores`` have both signs and predict, as logits, better than the share of malignant cases.

    Standardised scores, or margins of another kind, do not where malignant cases are rare.
    """
    rows = target.notna()
    if not _may_be_logits(scores) or target[rows].nunique() < 2:
        return False
    share = float(target[rows].mean())
    constant = log_loss(target[rows], np.full(rows.sum(), share))
    return bool(log_loss(target[rows], expit(scores[rows])) < constant)


SCALES = (
    Scale(
        "ranks from 1 to n",
        _are_ranks,
        lambda scores: _are_ranks(scores) or _is_even(scores),
        lambda scores: (scores.rank() - 0.5) / scores.notna().sum(),
        ORDER_ONLY,
    ),
    Scale("percent", _are_percent, _may_be_percent, lambda scores: scores / 100, "divided by 100"),
    Scale(
        "logits",
        _are_logits,
        _may_be_logits,
        lambda scores: pd.Series(expit(scores), index=scores.index),
        "read as 1 / (1 + exp(-x))",
    ),
)
