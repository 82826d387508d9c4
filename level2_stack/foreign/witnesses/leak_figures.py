"""Figures that tell predictions of a network's own training cases from predictions out of fold."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

from features.leaks.cells import STANDARD_ERRORS
from level2_stack.evaluation.auc import Interval, delong_interval
from level2_stack.foreign.witnesses.candidate import Candidate
from level2_stack.foreign.witnesses.relation import Floats, Pair, Relation, pair_of, patient_pair, ratio

SMALLEST = 1e-6  # probability
PATIENT_ERROR = 1.5  # times the error of independent rows, since a patient's pictures are alike
STEPS = 50  # of the expectation maximisation; the share of malignant cases no longer changes


@dataclass(frozen=True)
class Bounds:
    """A ratio with its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True)
class Study:
    """A network with its ``witnesses``, the ``target`` of the train cases and the ``patients`` of all, as numbers."""

    network: Candidate
    witnesses: Collection[Candidate]
    target: pd.Series
    patients: pd.Series

    def area(self) -> Interval:
        """Return the AUC out of fold with its interval of 95 %."""
        scores = self.network.score("train").dropna()
        return delong_interval(self.target[scores.index].to_numpy(), scores.to_numpy())

    def area_of_remainder(self) -> Interval | None:
        """Return the AUC of what remains of the scores when the witnesses' are subtracted; None without witnesses.

        It is what the network knows of the diagnosis and no witness does: about 0.7 for a network of another kind.
        """
        if not self.witnesses:
            return None
        oof = self._remainder()[0]
        return delong_interval(self.target[oof.index].to_numpy(), oof.to_numpy())

    def tail(self) -> Bounds | None:
        """Return how many test scores exceed the witnesses' as half of the malignant cases do, of those expected.

        Expected is the share of rows out of fold, at the share of malignant cases that the witnesses' test scores have.
        None without witnesses or test rows.
        """
        if not self.witnesses or "test" not in self.network.parts:
            return None
        oof, test = self._remainder()
        malignant = self.target[oof.index] == 1
        line = oof[malignant].median()
        shares = [(oof[rows] > line).mean() for rows in (~malignant, malignant)]
        prior = min(self._share_malignant(oof.index, test.index), float(malignant.mean()))
        expected = float((1 - prior) * shares[0] + prior * shares[1])
        count, rows = int((test > line).sum()), len(test)
        spread = PATIENT_ERROR * STANDARD_ERRORS * np.sqrt(1 / (count + 0.5) + 1 / max((oof > line).sum(), 1))
        value = (count + 0.5) / rows / expected
        return Bounds(value, float(value * np.exp(-spread)), float(value * np.exp(spread)))

    def agreement(self) -> Bounds | None:
        """Return the least ratio, over the witnesses, of the correlation on test rows to that of benign cases.

        Scores of training cases follow the diagnosis and chance, so less is left that other networks see too.
        """
        pairs = [self._pairs(witness) for witness in self.witnesses]
        ratios = [Bounds(*ratio(test.relation(), oof.relation())) for oof, test in pairs]
        certain = [each for each in ratios if np.isfinite(each.low)]
        return min(certain, key=lambda each: each.value, default=None)

    def likeness(self) -> Bounds:
        """Return the ratio of how similar the pictures of a patient are on test rows to that of benign cases."""
        oof, test = self._likeness()
        return Bounds(*ratio(test, oof))

    def likeness_out_of_fold(self) -> Bounds:
        """Return the inverse ratio: a network that saw other pictures of the patient scores them alike."""
        oof, test = self._likeness()
        return Bounds(*ratio(oof, test))

    def between_patients(self) -> Bounds | None:
        """Return the largest ratio of (between / within patients) agreement of benign cases to that of test rows.

        A network that saw other pictures of the patient adds what it remembers of him to all of them: the witnesses
        agree with it about rows within patients, but less about patients.
        """
        ratios = [_between(*self._pairs(witness)) for witness in self.witnesses]
        return max([each for each in ratios if each], key=lambda each: each.value, default=None)

    def _likeness(self) -> list[Relation]:
        scores = [self._benign(self.network), self.network.score("test")]
        return [patient_pair(each, self.patients).relation() for each in scores]

    def _pairs(self, witness: Candidate) -> tuple[Pair, Pair]:
        return (
            pair_of(self._benign(self.network), self._benign(witness), self.patients),
            pair_of(self.network.score("test"), witness.score("test"), self.patients),
        )

    def _benign(self, network: Candidate) -> pd.Series:
        scores = network.score("train")
        return scores[self.target.reindex(scores.index) == 0]

    def _logits(self, role: str) -> tuple[pd.Series, pd.DataFrame]:
        own = _logit(self.network.score(role))
        others = pd.DataFrame({each.name: _logit(each.score(role)) for each in self.witnesses}).reindex(own.index)
        rows = own.notna() & others.notna().all(axis=1)
        return own[rows], others[rows]

    def _remainder(self) -> tuple[pd.Series, pd.Series]:
        """Return the logits minus their linear regression on the witnesses' logits out of fold, per role."""
        (scores, others), roles = self._logits("train"), [role for role in ("test",) if role in self.network.parts]
        design = np.column_stack([np.ones(len(others)), others])
        weights = np.linalg.lstsq(design, scores.to_numpy(), rcond=None)[0]
        tables = [(scores, others), *[self._logits(role) for role in roles]]
        remainders = [own - np.column_stack([np.ones(len(rest)), rest]) @ weights for own, rest in tables]
        return remainders[0], remainders[-1]

    def _share_malignant(self, train: pd.Index, test: pd.Index) -> float:
        """Return the share of malignant test cases by the witnesses (Saerens et al. 2002)."""
        target = self.target[train]
        model = LogisticRegression(max_iter=500).fit(self._logits("train")[1].loc[train], target)
        odds = np.exp(model.decision_function(self._logits("test")[1].loc[test]))
        prior = share = float(target.mean())
        for _ in range(STEPS):
            test_odds = odds * (share / (1 - share)) / (prior / (1 - prior))
            share = float(np.clip((test_odds / (1 + test_odds)).mean(), SMALLEST, 1 - SMALLEST))
        return share


def _between(oof: Pair, test: Pair) -> Bounds | None:
    parts = [(pair.relation_between(), pair.relation_within()) for pair in (oof, test)]
    if any(each.value <= STANDARD_ERRORS * max(each.error, each.chance) for part in parts for each in part):
        return None
    (between, within), (test_between, test_within) = parts
    value = between.value / within.value / (test_between.value / test_within.value)
    relative = np.sqrt(sum((each.error / each.value) ** 2 for part in parts for each in part))
    return Bounds(value, value * (1 - STANDARD_ERRORS * relative), value * (1 + STANDARD_ERRORS * relative))


def _logit(scores: pd.Series) -> pd.Series:
    values: Floats = logit(scores.clip(SMALLEST, 1 - SMALLEST).to_numpy())
    return pd.Series(values, scores.index)
