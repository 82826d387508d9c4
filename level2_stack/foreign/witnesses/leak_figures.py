"""Figures that tell predictions of a network's own training cases from predictions out of fold."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.special import logit
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression

from features.leaks.cells import STANDARD_ERRORS
from level2_stack.evaluation.auc import Interval, delong_interval
from level2_stack.foreign.witnesses.candidate import Candidate
from level2_stack.foreign.witnesses.relation import Floats, Pair, Relation, pair_of, patient_pair, ratio

SMALLEST = 1e-6  # probability
PATIENT_ERROR = 1.5  # times the error of independent rows, since a patient's pictures are alike
LEAST_CLASS = 10  # malignant and benign cases, from which an AUC says something
STEADY = (0.2, 0.8)  # share of test scores above the median out of fold, if both are on one scale
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
    """A network with its ``witnesses``, the ``target`` of the train cases, and of all the ``patients`` and ``folds``.

    Patients and folds are numbers.
    """

    network: Candidate
    witnesses: Collection[Candidate]
    target: pd.Series
    patients: pd.Series
    folds: pd.Series

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
        None without test rows, or without witnesses whose scores are on one scale out of fold and on test rows.
        """
        steady = replace(self, witnesses=[each for each in self.witnesses if _is_steady(each)])
        return steady._tail() if steady.witnesses and "test" in self.network.parts else None

    def _tail(self) -> Bounds:
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

    def share_of_witnesses(self) -> float:
        """Return the share of the variance of the scores out of fold that the witnesses' explain; 0 without them."""
        return float(1 - self._remainder()[0].var() / self._logits("train")[0].var()) if self.witnesses else 0.0

    def best_fold(self) -> float:
        """Return by how many standard errors malignant cases stand higher in one fold than in the others.

        The place of a malignant case is the share of benign cases of its fold below it, so another scale of a fold's
        scores changes nothing (test of Mann and Whitney, in all folds with ten cases of each class).
        """
        scores = self.network.score("train").dropna()
        own = self.network.parts["train"].get("fold")
        columns = [self.folds, own] if own is not None else [self.folds]
        distances = [_distances(scores, self.target[scores.index], folds.reindex(scores.index)) for folds in columns]
        return max([0.0, *distances[0], *distances[-1]])

    def agreement(self) -> Bounds | None:
        """Return the least ratio, over the witnesses, of the correlation on test rows to that of benign cases.

        Scores of training cases follow the diagnosis and chance, so less is left that other networks see too.
        """
        ratios = [Bounds(*ratio(test.relation(), oof.relation())) for oof, test in self._pairs]
        certain = [each for each in ratios if np.isfinite(each.low)]
        return min(certain, key=lambda each: each.value, default=None)

    def likeness(self) -> Bounds:
        """Return the ratio of how similar the pictures of a patient are on test rows to that of benign cases."""
        oof, test = self._likeness
        return Bounds(*ratio(test, oof))

    def likeness_out_of_fold(self) -> Bounds:
        """Return the inverse ratio: a network that saw other pictures of the patient scores them alike."""
        oof, test = self._likeness
        return Bounds(*ratio(oof, test))

    def between_patients(self) -> Bounds | None:
        """Return the largest ratio of (between / within patients) agreement of benign cases to that of test rows.

        A network that saw other pictures of the patient adds what it remembers of him to all of them: the witnesses
        agree with it about rows within patients, but less about patients.
        """
        ratios = [_between(oof, test) for oof, test in self._pairs]
        return max([each for each in ratios if each], key=lambda each: each.value, default=None)

    @cached_property
    def _likeness(self) -> list[Relation]:
        scores = [self._benign(self.network), self.network.score("test")]
        return [patient_pair(each, self.patients).relation() for each in scores]

    @cached_property
    def _pairs(self) -> list[tuple[Pair, Pair]]:
        """Return the pair with each witness, of benign cases out of fold and of test rows."""
        own = self._benign(self.network), self.network.score("test")
        return [
            (
                pair_of(own[0], self._benign(witness), self.patients),
                pair_of(own[1], witness.score("test"), self.patients),
            )
            for witness in self.witnesses
        ]

    def _benign(self, network: Candidate) -> pd.Series:
        scores = network.score("train")
        return scores[self.target.reindex(scores.index) == 0]

    def _logits(self, role: str) -> tuple[pd.Series, pd.DataFrame]:
        own = _logit(self.network.score(role))
        others = logits_of(self.witnesses, role).reindex(own.index)
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


def _is_steady(network: Candidate) -> bool:
    """Return whether the scores are on one scale: about half of the test scores are above the median out of fold."""
    share = float((network.score("test") > network.score("train").median()).mean()) if "test" in network.parts else 0.0
    return STEADY[0] <= share <= STEADY[1]


def _distances(scores: pd.Series, target: pd.Series, folds: pd.Series) -> list[float]:
    """Return for each fold how much higher its malignant cases stand than those of the others, in standard errors."""
    places, of_fold = [], []
    for fold, rows in scores.groupby(folds):
        labels = target[rows.index]
        malignant, benign = rows[labels == 1], np.sort(rows[labels == 0])
        if min(len(malignant), len(benign)) >= LEAST_CLASS:
            places.append(np.searchsorted(benign, malignant) / len(benign))
            of_fold.append(np.full(len(malignant), fold))
    if len(places) < 2:
        return []
    ranks, names = rankdata(np.concatenate(places)), np.concatenate(of_fold)
    sizes = [(ranks[names == fold], (names == fold).sum(), (names != fold).sum()) for fold in np.unique(names)]
    return [
        float((own.sum() - size * (len(ranks) + 1) / 2) / np.sqrt(size * others * (len(ranks) + 1) / 12))
        for own, size, others in sizes
    ]


def logits_of(networks: Collection[Candidate], role: str) -> pd.DataFrame:
    """Return the logits of the scores of ``role``, one column per network."""
    return pd.DataFrame({each.name: _logit(each.score(role)) for each in networks})


def _logit(scores: pd.Series) -> pd.Series:
    values: Floats = logit(scores.clip(SMALLEST, 1 - SMALLEST).to_numpy())
    return pd.Series(values, scores.index)
