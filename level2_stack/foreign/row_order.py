"""Check the row order and the scale of a foreign test.csv by comparing it with the other networks' predictions."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from level2_stack.foreign.checks import Findings
from level2_stack.foreign.messages import WARNING
from runtime.invocation import option

LEGEND = "rank correlations, out of fold -> test"
LEAST_RATIO = 0.5  # of the out-of-fold correlation: about what remains if every second row is in a wrong place
WIDTH = 3.0  # standard errors; rows of one patient are not independent, so a narrower interval would be too short


@dataclass(frozen=True)
class Comparison:
    """Spearman's correlations of a network's scores with those of ``other``, out of fold (``oof``) and on test rows.

    ``verdict``: agrees (the test correlation is at least half of the out-of-fold one), weak (its interval is below that
    half and above 0), random (its interval is below that half and not above 0), silent (too few rows, or no correlation
    out of fold).
    """

    other: str
    oof: float
    test: float
    verdict: str

    def __str__(self) -> str:
        return f"{self.other} {self.oof:.2f} -> {self.test:.2f}"


def compare(other: str, oof: tuple[pd.Series, pd.Series], test: tuple[pd.Series, pd.Series]) -> Comparison:
    """Return the comparison of two networks' scores, given as pairs of columns; ``other`` names the second network."""
    (out_of_fold, train_rows), (on_test, test_rows) = _spearman(*oof), _spearman(*test)
    lowest, _ = _interval(out_of_fold, train_rows)
    low, high = _interval(on_test, test_rows)
    verdict = "silent"
    if lowest > 0 and high < LEAST_RATIO * out_of_fold:
        verdict = "weak" if low > 0 else "random"
    elif lowest > 0 and low > 0 and on_test >= LEAST_RATIO * out_of_fold:
        verdict = "agrees"
    return Comparison(other, out_of_fold, on_test, verdict)


def _spearman(first: pd.Series, second: pd.Series) -> tuple[float, int]:
    """Return the rank correlation over the rows that both have, 0 for a constant column, and the number of rows."""
    both = pd.DataFrame({"first": first, "second": second}).dropna()
    return float(np.nan_to_num(both.corr("spearman").to_numpy()[0, 1])), len(both)


def _interval(correlation: float, rows: int) -> tuple[float, float]:
    """Return the interval of a Spearman correlation: Fisher's z with the variance 1.06/(n-3) of Fieller et al. 1957."""
    if rows <= 3:
        return -1.0, 1.0
    centre, error = np.arctanh(np.clip(correlation, -0.999999, 0.999999)), np.sqrt(1.06 / (rows - 3))
    return float(np.tanh(centre - WIDTH * error)), float(np.tanh(centre + WIDTH * error))


@dataclass
class Candidate:
    """A network while it is checked: the contents of its files, and the findings."""

    name: str
    parts: dict[str, pd.DataFrame] = field(default_factory=dict)  # role -> score, fold, views
    findings: Findings = field(default_factory=Findings)
    out_of_range: str = ""  # a phrase if values of test.csv are outside [0, 1], so not on the scale of oof.csv
    files: dict[str, str] = field(default_factory=dict)  # role -> name of its file

    @property
    def is_valid(self) -> bool:
        """Return whether the network has no faults."""
        return not self.findings.faults

    def score(self, role: str) -> pd.Series:
        """Return the scores of the cases of ``role`` ('train' or 'test')."""
        return self.parts[role]["score"]

    def where(self, role: str) -> str:
        """Return the name of the file of ``role``, for messages."""
        return self.files.get(role, {"train": "oof.csv", "test": "test.csv"}[role])


def check_orders(
    candidates: list[Candidate],
    trust: Collection[str],
    own: Collection[Candidate] = (),
    metadata: Callable[[], Candidate | None] = lambda: None,
) -> None:
    """Compare each network's test rows with those of the others; refuse networks whose row order seems wrong.

    What an ``own`` network of the run shows decides, since its rows are in order; without one the others vote. Where
    neither says anything, the model that ``metadata`` makes is asked, which can only
    confirm; an order that even it does not is a warning.
    Networks with values out of range confirm no other: two files with the same error would agree. Their own order must
    be confirmed, before their scale is repaired.
    """
    in_range = [network for network in candidates if not network.out_of_range]
    for network in in_range:
        by_own = _comparisons(network, own)
        decisive = _with_verdict(by_own, "random", "weak", "agrees")
        comparisons = by_own if decisive else [*by_own, *_comparisons(network, in_range)]
        if not _with_verdict(comparisons, "random", "weak", "agrees") and (model := metadata()):
            comparisons += [_only_for(each) for each in _comparisons(network, [model])]
        _check_order(network, comparisons, is_trusted=network.name in trust)
    reliable = [*own, *[network for network in in_range if network.is_valid]]
    for network in candidates:
        if network.out_of_range:
            _repair_scale(network, _comparisons(network, reliable), network.name in trust)


def _comparisons(network: Candidate, others: Collection[Candidate]) -> list[Comparison]:
    roles = ("train", "test")
    return [
        compare(other.name, *[(network.score(role), other.score(role)) for role in roles])
        for other in others
        if other is not network
    ]


def _only_for(comparison: Comparison) -> Comparison:
    """Return the comparison with a model that can confirm an order, but does not know enough to call it wrong.

    Right networks correlated with the metadata of the contest by 0.10 out of fold and 0.02 on its test rows.
    """
    return comparison if comparison.verdict == "agrees" else replace(comparison, verdict="silent")


def _with_verdict(comparisons: Collection[Comparison], *verdicts: str) -> list[str]:
    return [str(comparison) for comparison in comparisons if comparison.verdict in verdicts]


def _check_order(network: Candidate, comparisons: Collection[Comparison], is_trusted: bool) -> None:
    """Compare the row order of the test table with the others: those that correlate outvote those that do not."""
    findings, where = network.findings, network.where("test")
    random, weak = _with_verdict(comparisons, "random"), _with_verdict(comparisons, "weak")
    agreeing = _with_verdict(comparisons, "agrees")
    if len(random) > len(agreeing) + len(weak):
        problem = (
            f"{where}: does not correlate with networks that {network.where('train')} correlates with; its rows, or "
            "theirs, are in a wrong order"
        )
        _add_doubt(findings, f"{problem} ({LEGEND}: {_in_words(comparisons)})", is_trusted)
        return
    correlations = f"({LEGEND}: {_in_words(comparisons) or 'no network in range'})"
    if agreeing:
        findings.notes.append(f"row order of {where} confirmed {correlations}")
    elif not weak:
        _warn_of_order(network, correlations, is_trusted)
    if weak:
        findings.notes.append(
            f"{WARNING}{where} correlates far less than {network.where('train')} with {', '.join(weak)}; check that "
            "both hold the same quantity"
        )


def _warn_of_order(network: Candidate, correlations: str, is_trusted: bool) -> None:
    """Say that nothing confirms the row order: a warning, or a note if the user trusts the network."""
    findings, where = network.findings, network.where("test")
    sentence = f"the row order of {where} cannot be confirmed, since nothing else predicts these cases well enough"
    if is_trusted:
        findings.notes.append(f"{sentence} {correlations}; accepted because {option('trust')} names it")
        return
    remedy = f"if it is right, {option('trust', network.name)} says so"
    findings.notes.append(f"{WARNING}{sentence} {correlations}; {remedy}")


def _repair_scale(network: Candidate, comparisons: Collection[Comparison], is_trusted: bool) -> None:
    """Map test scores that are out of range onto the out-of-fold distribution if the others confirm their order."""
    findings, (train, test) = network.findings, (network.where("train"), network.where("test"))
    problem = f"{test}: {network.out_of_range}; {train} is on another scale"
    correlations = f"({LEGEND}: {_in_words(comparisons) or 'no network in range'})"
    weak, random = _with_verdict(comparisons, "weak"), _with_verdict(comparisons, "random")
    is_confirmed = len(_with_verdict(comparisons, "agrees")) > len(weak) + len(random)
    if not is_confirmed:
        reason = (
            f"; it correlates far less than {train} with the others: another quantity, or many rows in a wrong place"
        )
        doubt = f"{problem}, and its row order is not confirmed {correlations}{reason if weak else ''}"
        _add_doubt(findings, doubt, is_trusted)
    if not network.is_valid:
        return
    before, oof = network.score("test"), network.score("train").dropna()
    after = map_quantiles(before, oof)
    network.parts["test"] = network.parts["test"].assign(score=after)
    cause = f"{problem}, but its row order is confirmed {correlations}; " if is_confirmed else f"{test}: "
    findings.add_reading(
        f"{cause}mapped by quantile onto the out-of-fold distribution, which keeps the order and assumes a similar "
        f"case mix: median {before.median():.4g} -> {after.median():.4g}, "
        f"largest {before.max():.4g} -> {after.max():.4g}"
    )


def _add_doubt(findings: Findings, sentence: str, is_trusted: bool) -> None:
    """Add ``sentence`` as a fault, or as a warning if the user trusts the network; the fault names the option."""
    if is_trusted:
        findings.notes.append(f"{WARNING}{sentence}; accepted because {option('trust')} names it")
    else:
        findings.faults.append(
            f"{sentence}; if you know that the network is right, accept it with {option('trust', 'name')}"
        )


def _in_words(comparisons: Collection[Comparison]) -> str:
    return ", ".join(str(comparison) for comparison in comparisons)


def map_quantiles(scores: pd.Series, onto: pd.Series) -> pd.Series:
    """Return ``scores`` with each value replaced by the same quantile of ``onto``, both without NaN; ties stay."""
    levels = (scores.rank() - 0.5) / len(scores)
    return pd.Series(np.quantile(onto, levels), index=scores.index)
