"""Do the rows of a foreign test.csv stand in the right order, and on the scale of oof.csv? The other networks vote."""

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from level2_stack.foreign.checks import Findings

SHOWN = "rank correlations, out of fold -> test"
RESEMBLES = 0.5  # of the out-of-fold correlation: what is left when every second row is in a wrong place
WIDTH = 3.0  # standard errors; rows of one patient are not independent, so narrower would be too sure


@dataclass(frozen=True)
class Comparison:
    """How a network's columns go with those of ``other``: Spearman's correlation out of fold and on test rows.

    ``verdict``: agrees (test resembles out of fold), weak (above 0, below half of it), random (test not above 0
    and below half), silent (too few rows, or no relation out of fold: says nothing).
    """

    other: str
    oof: float
    test: float
    verdict: str

    def __str__(self) -> str:
        return f"{self.other} {self.oof:.2f} -> {self.test:.2f}"


def compare(other: str, oof: tuple[pd.Series, pd.Series], test: tuple[pd.Series, pd.Series]) -> Comparison:
    """Return how two networks' scores go together out of fold and on test rows; ``other`` names the second one."""
    (out_of_fold, train_rows), (on_test, test_rows) = _spearman(*oof), _spearman(*test)
    lowest, _ = _interval(out_of_fold, train_rows)
    low, high = _interval(on_test, test_rows)
    verdict = "silent"
    if lowest > 0 and high < RESEMBLES * out_of_fold:
        verdict = "weak" if low > 0 else "random"
    elif lowest > 0 and low > 0 and on_test >= RESEMBLES * out_of_fold:
        verdict = "agrees"
    return Comparison(other, out_of_fold, on_test, verdict)


def _spearman(one: pd.Series, other: pd.Series) -> tuple[float, int]:
    """Return the rank correlation over the rows both cover, and their number; a constant column has none: 0."""
    both = pd.DataFrame({"one": one, "other": other}).dropna()
    return float(np.nan_to_num(both.corr("spearman").to_numpy()[0, 1])), len(both)


def _interval(correlation: float, rows: int) -> tuple[float, float]:
    """Return the interval of a Spearman correlation: Fisher's z with the variance 1.06/(n-3) of Fieller et al. 1957."""
    if rows <= 3:
        return -1.0, 1.0
    centre, error = np.arctanh(np.clip(correlation, -0.999999, 0.999999)), np.sqrt(1.06 / (rows - 3))
    return float(np.tanh(centre - WIDTH * error)), float(np.tanh(centre + WIDTH * error))


@dataclass
class Candidate:
    """A network being checked: what was read of it, and what was found."""

    name: str
    parts: dict[str, pd.DataFrame] = field(default_factory=dict)  # role -> score, fold, views
    findings: Findings = field(default_factory=Findings)
    out_of_range: str = ""  # of test.csv: not on the scale of oof.csv

    @property
    def sound(self) -> bool:
        """Return whether nothing has been found that refuses it."""
        return not self.findings.faults

    def score(self, role: str) -> pd.Series:
        """Return the scores of the cases of ``role`` ('train' or 'test')."""
        return self.parts[role]["score"]


def check_orders(candidates: list[Candidate], trust: Collection[str]) -> None:
    """Compare each network's test rows with those of the others; refuse orders that are denied or unconfirmed.

    Networks out of range do not vouch, not even for one another: two columns of one wrong make agree.
    """
    in_range = [network for network in candidates if not network.out_of_range]
    for network in in_range:
        _check_order(network, _comparisons(network, in_range), network.name in trust)
    vouching = [network for network in in_range if network.sound]
    for network in candidates:
        if network.out_of_range:
            _repair_scale(network, _comparisons(network, vouching), network.name in trust)


def _comparisons(network: Candidate, others: Collection[Candidate]) -> list[Comparison]:
    roles = ("train", "test")
    return [
        compare(other.name, *[(network.score(role), other.score(role)) for role in roles])
        for other in others
        if other is not network
    ]


def _with_verdict(comparisons: Collection[Comparison], *verdicts: str) -> list[str]:
    return [str(comparison) for comparison in comparisons if comparison.verdict in verdicts]


def _check_order(network: Candidate, comparisons: Collection[Comparison], trusted: bool) -> None:
    """Let the other networks vote on the row order of test.csv: any relation above chance backs it."""
    findings = network.findings
    denying, weak = _with_verdict(comparisons, "random"), _with_verdict(comparisons, "weak")
    agreeing = _with_verdict(comparisons, "agrees")
    if len(denying) > len(agreeing) + len(weak):
        found = (
            "test.csv: not related to networks that oof.csv is related to; its rows, or theirs, are in another order"
        )
        _doubt(findings, f"{found} ({SHOWN}: {_joined(comparisons)})", trusted)
        return
    verdict = "confirmed" if agreeing else "cannot be confirmed"
    findings.notes.append(f"row order of test.csv {verdict} ({SHOWN}: {_joined(comparisons) or 'no network in range'})")
    if weak:
        findings.notes.append(
            f"WARNING: test.csv goes with {', '.join(weak)} far less than oof.csv does; is it the same quantity?"
        )


def _repair_scale(network: Candidate, comparisons: Collection[Comparison], trusted: bool) -> None:
    """Map test scores that are out of range onto the out-of-fold distribution if the others confirm their order."""
    findings, found = network.findings, f"test.csv: {network.out_of_range}; not the scale of oof.csv"
    shown = f"({SHOWN}: {_joined(comparisons) or 'no network in range'})"
    weak, random = _with_verdict(comparisons, "weak"), _with_verdict(comparisons, "random")
    confirmed = len(_with_verdict(comparisons, "agrees")) > len(weak) + len(random)
    if not confirmed:
        why = "; it follows the others far less than oof.csv does: not the same quantity, or many rows misplaced"
        _doubt(findings, f"{found}, and its order is not confirmed {shown}{why if weak else ''}", trusted)
    if not network.sound:
        return
    before, oof = network.score("test"), network.score("train").dropna()
    after = by_quantile(before, oof)
    network.parts["test"] = network.parts["test"].assign(score=after)
    because = f"{found}, but its order is confirmed {shown}; " if confirmed else "test.csv: "
    findings.notes.append(
        f"{because}mapped by quantile onto the out-of-fold distribution, which keeps the order and assumes a like "
        f"case mix: median {before.median():.4g} -> {after.median():.4g}, "
        f"largest {before.max():.4g} -> {after.max():.4g}"
    )


def _doubt(findings: Findings, sentence: str, trusted: bool) -> None:
    """Refuse a network for ``sentence``, or warn of it when the user has said to trust the network."""
    if trusted:
        findings.notes.append(f"WARNING: {sentence}; admitted because you trust it")
    else:
        findings.faults.append(sentence)


def _joined(comparisons: Collection[Comparison]) -> str:
    return ", ".join(str(comparison) for comparison in comparisons)


def by_quantile(scores: pd.Series, onto: pd.Series) -> pd.Series:
    """Return ``scores`` with the distribution of ``onto`` (no NaN in either): same order, equal scores stay equal."""
    levels = (scores.rank() - 0.5) / len(scores)
    return pd.Series(np.quantile(onto, levels), index=scores.index)
