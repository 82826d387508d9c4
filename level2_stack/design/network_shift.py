"""Networks whose scores differ between test cases and out of fold: alone, or in their relation to other networks."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from features.leaks.cells import count_cells
from level2_stack.design.assemble import Design
from level2_stack.foreign.witnesses.comparison import Comparison, judge
from level2_stack.foreign.witnesses.relation import Relation, pair_of

THRESHOLD = 0.70  # honest networks of the contest, whose two sets of patients differ, have 0.58
LEAST_RATIO = 0.5  # of the rank correlation out of fold
RANGES = 10
Pairs = Mapping[tuple[str, str], Comparison]


def shifting_networks(design: Design) -> dict[str, str]:
    """Return network -> what differs between its test rows and its out-of-fold rows, in words with figures.

    A network differs alone if its scores separate test from train rows with an AUC above THRESHOLD beyond chance: then
    the scale, or the way in which the two files were made, is another. It differs in its relation if its rank
    correlations with other networks fall by more than half. The network with the most such pairs is taken out first,
    until no pair is left.
    """
    if not len(design.test):
        return {}
    return _relations(design) | _distributions(design)


def _distributions(design: Design) -> dict[str, str]:
    """Return the networks whose test scores come from another distribution than those out of fold.

    The AUC is that of ranges of the score, each with a tenth of the training cases: finer ones would only tell that a
    test score is a mean over folds. Its interval is that of Hanley & McNeil (1982).
    """
    is_test = np.arange(len(design.X)) >= len(design.y)
    reasons = {}
    for name in design.networks:
        scores = design.X[f"logit.{name}"].to_numpy()
        has_score = ~np.isnan(scores)
        limits = np.unique(np.quantile(scores[has_score & ~is_test], np.arange(1, RANGES) / RANGES))
        codes = np.searchsorted(limits, scores[has_score], side="right")
        counts = count_cells(codes, is_test[has_score], np.zeros(len(codes), np.intp))
        shift = counts.auc(counts.malignant / np.maximum(counts.cases, 1))
        if shift.low > THRESHOLD:
            reasons[name] = f"its scores tell test from training cases, {shift}"
    return reasons


def _relations(design: Design) -> dict[str, str]:
    train, test = design.train, design.test
    pairs = {
        (first, second): judge(second, _relation(train, first, second), _relation(test, first, second), LEAST_RATIO)
        for first, second in combinations(design.networks, 2)
    }
    doubtful = {names: pair for names, pair in pairs.items() if pair.verdict in ("random", "weak")}
    shifting: dict[str, str] = {}
    while doubtful:
        counts = {name: sum(name in names for names in doubtful) for name in design.networks}
        most = max(counts.values())
        # Of two networks alone, nothing tells which one is wrong: both are taken out.
        for name in [name for name, count in counts.items() if count == most]:
            shifting[name] = _in_words(name, doubtful)
        doubtful = {names: pair for names, pair in doubtful.items() if not shifting.keys() & set(names)}
    return shifting


def _relation(rows: pd.DataFrame, first: str, second: str) -> Relation:
    """Return the relation of two networks on ``rows``, each row a patient of its own."""
    numbers = pd.Series(range(len(rows)), rows.index)
    return pair_of(rows[f"logit.{first}"], rows[f"logit.{second}"], numbers).relation()


def _in_words(name: str, pairs: Pairs) -> str:
    figures = [
        f"{next(each for each in names if each != name)} {pair.oof:.2f} -> {pair.test:.2f}"
        for names, pair in pairs.items()
        if name in names
    ]
    return f"its rank correlation falls from out of fold to test: {', '.join(figures)}"
