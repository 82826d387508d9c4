"""Bring test scores that are out of range to the scale of the out-of-fold scores, if their row order is confirmed."""

from collections.abc import Collection

import numpy as np
import pandas as pd

from level2_stack.foreign.witnesses.candidate import Candidate, add_doubt
from level2_stack.foreign.witnesses.comparison import LEGEND, Comparison, agreeing, doubting, in_words


def repair_scale(network: Candidate, comparisons: Collection[Comparison], is_trusted: bool) -> None:
    """Map test scores that are out of range onto the out-of-fold distribution if the others confirm their order."""
    findings, (train, test) = network.findings, (network.where("train"), network.where("test"))
    problem = f"{test}: {network.out_of_range}; {train} is on another scale"
    correlations = f"({LEGEND}: {in_words(comparisons) or 'no network in range'})"
    doubts = doubting(comparisons)
    is_confirmed = len(agreeing(comparisons)) > len(doubts)
    if not is_confirmed:
        is_weak = any(each.verdict == "weak" for each in doubts)
        reason = (
            f"; it correlates far less than {train} with the others: another quantity, or many rows in a wrong place"
        )
        doubt = f"[scale-unconfirmed] {problem}, and its row order is not confirmed {correlations}"
        add_doubt(findings, doubt + reason * is_weak, is_trusted)
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


def map_quantiles(scores: pd.Series, onto: pd.Series) -> pd.Series:
    """Return ``scores`` with each value replaced by the same quantile of ``onto``, both without NaN; ties stay."""
    levels = (scores.rank() - 0.5) / len(scores)
    return pd.Series(np.quantile(onto, levels), index=scores.index)
