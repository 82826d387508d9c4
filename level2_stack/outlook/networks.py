"""The value of each network of a stack, the gain of 1, 2, ... networks, and what a further one is expected to add."""

from collections.abc import Callable, Hashable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from level2_stack.design.assemble import Design
from level2_stack.evaluation.auc import Interval, auc, auc_replicates, percentile_interval
from level2_stack.outlook.refit import FrozenStack, Part
from level2_stack.slim.choose import LEARNER

Floats = NDArray[np.float64]
Names = tuple[str, ...]
DesignOf = Callable[[Names], Design]
REPLICATES = 500
MOST_IN_ORDER = 8  # networks: the greedy order of n takes n (n + 1) / 2 cross-validations
COLUMNS = ["kind", "network", "networks", "auc", "adds", "low", "high"]


class NetworkValues:
    """Out-of-fold scores of a stack and of the same stack without each network, with paired intervals.

    ``design_of`` returns the design with the given networks alone.
    """

    def __init__(self, stack: FrozenStack, names: Sequence[str], design_of: DesignOf) -> None:
        self._stack, self.names, self._design_of = stack, tuple(sorted(names)), design_of
        design = design_of(self.names)
        self._y, self._groups, self._design = design.y, design.groups, design
        self._replicates: dict[Names, Floats] = {}

    def leave_one_out(self, on_set: Callable[[int], None] | None = None) -> pd.DataFrame:
        """Return a row per network: the AUC without it, and what it ``adds`` with limits, the largest first.

        The last row is their mean, with its own limits. Empty for a single network.
        """
        if len(self.names) < 2:
            return pd.DataFrame(columns=COLUMNS)
        scores: dict[Hashable, Floats] = {"": self._score(self._stack, self.names)}
        for name in self.names:
            scores[name] = self._score(self._stack, tuple(other for other in self.names if other != name))
            if on_set is not None:
                on_set(1)
        aucs = self._aucs(scores)
        gains = {name: aucs[""] - aucs[name] for name in self.names}
        rows = [
            ["without", name, len(self.names) - 1, aucs[name][0], *percentile_interval(gains[name])] for name in gains
        ]
        rows.sort(key=lambda row: -row[4])
        mean = np.mean(list(gains.values()), axis=0)
        rows.append(["without", "mean of one", len(self.names) - 1, aucs[""][0] - mean[0], *percentile_interval(mean)])
        return pd.DataFrame(rows, columns=COLUMNS)

    def in_order(self, on_set: Callable[[int], None] | None = None) -> pd.DataFrame:
        """Return a row per number of networks, added one by one, each time the one with the highest AUC.

        The scores are those of a ridge regression on all columns, whose fits take a fraction of a booster's time. The
        rows that choose a network measure it too, so that early gains are slightly too high. Empty for more than
        ``MOST_IN_ORDER`` networks.
        """
        if len(self.names) > MOST_IN_ORDER:
            return pd.DataFrame(columns=COLUMNS)
        ridge, order, scores = self._stack.with_learner(LEARNER), Names(), dict[Hashable, Floats]()
        while len(order) < len(self.names):
            options = {
                name: self._score(ridge, tuple(sorted((*order, name)))) for name in self.names if name not in order
            }
            best = max(options, key=lambda name: auc(self._y, options[name]))
            order, scores[best] = (*order, best), options[best]
            if on_set is not None:
                on_set(len(options))
        aucs = self._aucs(scores)
        rows, before = [], np.full(REPLICATES + 1, np.nan)
        for number, name in enumerate(order, start=1):
            rows.append(["in order", name, number, aucs[name][0], *percentile_interval(aucs[name] - before)])
            before = aucs[name]
        return pd.DataFrame(rows, columns=COLUMNS)

    def score_without_columns(self, columns: Sequence[str]) -> Interval:
        """Return what ``columns`` of the design add to the stack: the AUC with them minus the AUC without (paired)."""
        rest = self._design.without(columns)
        aucs = self._aucs({"": self._score(self._stack, self.names), "rest": self._stack.scores(rest, [Part()])[:, 0]})
        return percentile_interval(aucs[""] - aucs["rest"])

    def sets(self) -> int:
        """Return the number of sets of networks that ``in_order`` scores."""
        count = len(self.names)
        return count * (count + 1) // 2 if count <= MOST_IN_ORDER else 0

    def _score(self, stack: FrozenStack, names: Names) -> Floats:
        return stack.scores(self._design_of(names), [Part()])[:, 0]

    def _aucs(self, scores: dict[Hashable, Floats]) -> dict[Hashable, Floats]:
        frame = pd.DataFrame(scores)
        pairs = [(name, name) for name in frame]
        by_pair = auc_replicates(self._y, frame, self._groups, pairs, replicates=REPLICATES, seed=0)
        return {name: values for (name, _), values in by_pair.items()}


def next_network(losses: pd.DataFrame, ratio: float) -> Interval:
    """Return what a further network like the present ones is expected to add.

    It is the mean of what each network adds now, from ``leave_one_out``, times ``ratio``, that of ``gain_ratio``.
    """
    mean = losses[losses["network"] == "mean of one"].iloc[0]
    return Interval(*(float(ratio * mean[name]) for name in ("adds", "low", "high")))


def gain_ratio(y: Floats, logits: pd.DataFrame) -> float:
    """Return the gain of network k + 1 as a share of the gain of network k, from the diversity of k networks.

    For normal scores with the same correlation r within the classes, the mean of k networks has the sensitivity index
    d / sqrt(r + (1 - r) / k) (Clemen and Winkler 1985), and an AUC of Phi(d / sqrt 2). ``logits`` is (n, k), NaN
    where a network has no prediction; k is 2 or more.
    """
    correlation, index = diversity(y, logits)
    count = logits.shape[1]
    aucs = [mean_auc(index, correlation, number) for number in (count - 1, count, count + 1)]
    before = aucs[1] - aucs[0]
    return float((aucs[2] - aucs[1]) / before) if before > 1e-12 else 1.0


def diversity(y: Floats, logits: pd.DataFrame) -> tuple[float, float]:
    """Return the mean correlation of two networks within the classes, and the mean sensitivity index of one."""
    residuals = logits - logits.groupby(y).transform("mean")
    table = residuals.corr().to_numpy()
    pairs = table[~np.eye(len(table), dtype=bool)]
    index = (logits[y == 1].mean() - logits[y == 0].mean()) / residuals.std()
    return float(np.clip(np.nanmean(pairs), 0.0, 1.0)), float(index.mean())


def mean_auc(index: float, correlation: float, networks: int) -> float:
    """Return the AUC of the mean of ``networks`` networks with equal ``index`` and mutual ``correlation``."""
    return float(norm.cdf(index / np.sqrt(2 * (correlation + (1 - correlation) / networks))))
