"""Networks whose scores differ between test cases and out of fold: alone, or in their relation to other networks."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from level2_stack.design.assemble import Design
from level2_stack.design.shift import adversarial_validation
from level2_stack.foreign.row_order import Comparison, compare

Pairs = Mapping[tuple[str, str], Comparison]


def shifting_networks(design: Design, groups: NDArray[np.object_], threshold: float) -> dict[str, str]:
    """Return network -> what differs between its test rows and its out-of-fold rows, in words with figures.

    ``groups`` (n,) are the patients of all rows of ``design.X``. A network differs alone if its logit and spread
    separate test from train rows with an AUC above ``threshold`` beyond chance; this is a difference of the cases, of
    the scale, or of how the two files were made. It differs in its relation if its rank correlations with other
    networks fall by more than half. The network with the most such pairs is taken out first, until no pair is left.
    """
    if not len(design.test):
        return {}
    return _relations(design) | _distributions(design, groups, threshold)


def _distributions(design: Design, groups: NDArray[np.object_], threshold: float) -> dict[str, str]:
    columns = set(design.X.columns)
    families = {
        name: [column for column in (f"logit.{name}", f"spread.{name}") if column in columns]
        for name in design.networks
    }
    is_test = np.arange(len(design.X)) >= len(design.y)
    table = adversarial_validation(design.X, is_test, groups, families)
    rows = {str(name): row for name, row in table.iterrows() if float(row["low"]) > threshold}
    return {
        name: f"its scores tell test from training cases, AUC {row['auc']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
        for name, row in rows.items()
    }


def _relations(design: Design) -> dict[str, str]:
    pairs = {
        (first, second): compare(
            second,
            (design.train[f"logit.{first}"], design.train[f"logit.{second}"]),
            (design.test[f"logit.{first}"], design.test[f"logit.{second}"]),
        )
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


def _in_words(name: str, pairs: Pairs) -> str:
    figures = [
        f"{next(each for each in names if each != name)} {pair.oof:.2f} -> {pair.test:.2f}"
        for names, pair in pairs.items()
        if name in names
    ]
    return f"its rank correlation falls from out of fold to test: {', '.join(figures)}"
