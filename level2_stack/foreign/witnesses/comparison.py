"""Compare what a network shares with a witness out of fold with what it shares with it on the test rows."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import pandas as pd

from level2_stack.foreign.witnesses.candidate import Candidate
from level2_stack.foreign.witnesses.relation import Relation, pair_of, patient_pair, ratio

LEGEND = "rank correlations, out of fold -> test"
LEAST_RATIO = 0.8  # of the out-of-fold correlation to another network's scores: with a fifth of the rows misplaced
LEAST_RATIO_OF_FACTS = 0.5  # of that to patients and metadata, which differ more between two samples of cases
LEAST_CONFIRMATION = 0.5  # of the out-of-fold correlation, which the whole interval must exceed
LEAST_FACTS = 0.3  # correlation out of fold with the metadata, from which its absence on test rows is a doubt
PATIENTS = "pictures of the same patient"
WITHIN = ", within patients"  # ends the name of a witness that is compared within patients


@dataclass(frozen=True)
class Comparison:
    """Spearman's correlations of a network's scores with those of ``other``, out of fold (``oof``) and on test rows.

    ``verdict``: agrees (the interval of test / oof is above a half), weak (it is below the share that is
    expected, but the test correlation is above that of permuted rows), random (it is not), reversed (test / oof is
    below zero), unrelated (the correlation is that of permuted rows out of fold, but not on test rows), silent (too few
    rows, or no correlation).
    """

    other: str
    oof: float
    test: float
    verdict: str

    def __str__(self) -> str:
        return f"{self.other} {self.oof:.2f} -> {self.test:.2f}"

    @property
    def is_doubt(self) -> bool:
        """Return whether the network has less in common with the witness on test rows than out of fold, or more."""
        return self.verdict in ("random", "weak", "reversed", "unrelated")

    @property
    def is_certain(self) -> bool:
        """Return whether this is a doubt that likeness of a patient's pictures cannot remove."""
        return self.verdict == "reversed" or (self.verdict == "random" and self.other.endswith(WITHIN))


def compare(network: Candidate, other: Candidate, patients: pd.Series, least: float = LEAST_RATIO) -> Comparison:
    """Return the comparison of two networks' scores over all rows; over rows within patients if only these differ.

    ``patients`` are the numbers of all cases' patients. Rows that were shuffled within a patient keep half of their
    correlation; the differences from the patient's mean show them.
    """
    pairs = [pair_of(network.score(role), other.score(role), patients) for role in ("train", "test")]
    whole = judge(other.name, pairs[0].relation(), pairs[1].relation(), least)
    within = judge(f"{other.name}{WITHIN}", pairs[0].relation_within(), pairs[1].relation_within(), least)
    return within if within.is_doubt and not whole.is_doubt else whole


def compare_patients(network: Candidate, patients: pd.Series) -> Comparison:
    """Return how similar the scores of a patient's pictures are, out of fold and on test rows; it needs no witness."""
    pairs = [patient_pair(network.score(role), patients) for role in ("train", "test")]
    return judge(PATIENTS, pairs[0].relation(), pairs[1].relation(), LEAST_RATIO_OF_FACTS)


def compare_metadata(network: Candidate, model: Candidate, patients: pd.Series) -> Comparison:
    """Return the comparison with what metadata say of the network's scores; a doubt needs a strong correlation."""
    comparison = compare(network, model, patients, LEAST_RATIO_OF_FACTS)
    is_strong = comparison.oof >= LEAST_FACTS
    return comparison if is_strong or not comparison.is_doubt else replace(comparison, verdict="silent")


def judge(other: str, oof: Relation, test: Relation, least: float) -> Comparison:
    """Return the comparison of two relations; on test rows at least the share ``least`` is expected."""
    _, low, high = ratio(test, oof)
    verdict = "silent"
    if high < least:
        verdict = "reversed" if high < 0 else "weak" if test.is_above_chance else "random"
    elif ratio(oof, test)[2] < LEAST_CONFIRMATION and not oof.is_above_chance:
        verdict = "unrelated"
    elif low > LEAST_CONFIRMATION and test.is_above_chance:
        verdict = "agrees"
    return Comparison(other, oof.value, test.value, verdict)


def agreeing(comparisons: Collection[Comparison]) -> list[Comparison]:
    """Return those of ``comparisons`` that confirm the order of the rows."""
    return [each for each in comparisons if each.verdict == "agrees"]


def doubting(comparisons: Collection[Comparison]) -> list[Comparison]:
    """Return those of ``comparisons`` that doubt the order of the rows."""
    return [each for each in comparisons if each.is_doubt]


def in_words(comparisons: Collection[Comparison]) -> str:
    """Return the comparisons with their correlations, as one phrase, without those of too few rows."""
    return ", ".join(str(each) for each in comparisons if each.oof or each.test)
