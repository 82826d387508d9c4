"""Rank what to try next by the gain that it is expected to bring, in words with figures and intervals."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from level2_stack.evaluation.auc import Interval
from level2_stack.outlook.growth import Growth
from level2_stack.outlook.label_errors import ERROR_SHARE
from melstack.next_steps.labels import PICTURES
from runtime.plural import number_of

COLUMNS = ["rank", "what", "gain", "low", "high", "sentence"]
BESIDE = "all columns beside the networks"


class Measurements(NamedTuple):
    """Everything that was measured: learning curves (the stack's first), tables, the gain of a further network."""

    curves: Sequence[Growth]
    networks: pd.DataFrame
    further: Interval | None
    views: pd.DataFrame
    metadata: pd.DataFrame
    labels: pd.DataFrame


def advice(results: Measurements) -> pd.DataFrame:
    """Return what to try, a row each: expected gains beyond chance first, then the others, the largest first.

    What the columns beside the networks add follows, since they add it already; another look at labels, which has no
    gain of AUC that could be measured, is the last row.
    """
    rows = sorted(_gains(results), key=lambda row: (not row[2] > 0, -row[1]))
    rows += [*_columns(results.metadata), *_labels(results.labels)]
    return pd.DataFrame([[rank, *row] for rank, row in enumerate(rows, start=1)], columns=COLUMNS)


def _gains(results: Measurements) -> Iterator[tuple[str, float, float, float, str]]:
    for curve in results.curves:
        what, gain = str(curve.table["what"].iloc[0]), curve.of_double
        level = " (networks as they are)" if curve is results.curves[0] else ""
        name = f"twice the patients, {what}"
        yield name, *gain, f"twice the patients, for {what}{level}: {in_words(gain)} expected; {curve.verdict()}"
    if results.further is not None:
        text = f"one more network, as good and as different as the present ones: {in_words(results.further)} expected"
        yield "one more network", *results.further, text + chance(results.further)
    if len(results.views):
        best = _best_views(results.views)
        gain = Interval(best["adds"], best["adds_low"], best["adds_high"])
        numbers = f"{best['views']:.0f} views instead of {best['views'] / 2:.0f} for {best['network']}"
        text = f"{numbers}: {in_words(gain)} expected for that network"
        yield "twice the views", *gain, text + chance(gain)


def _columns(metadata: pd.DataFrame) -> Iterator[tuple[str, float, float, float, str]]:
    for _, row in metadata[metadata["part"] == BESIDE].iterrows():
        gain = Interval(row["adds"], row["low"], row["high"])
        remedy = (
            "keep them, and fill their gaps" if gain.low > 0 else "they can be left out, or replaced by better ones"
        )
        yield (
            "columns beside the networks",
            *gain,
            f"the columns beside the networks add {in_words(gain)} now: {remedy}",
        )


def _best_views(views: pd.DataFrame) -> pd.Series:
    rows = views[views["kind"] == "predicted"]
    return rows.iloc[int(rows["adds"].astype(float).argmax())]


def _labels(table: pd.DataFrame) -> Iterator[tuple[str, float, float, float, str]]:
    if table.empty:
        return
    first = table.head(PICTURES)
    wrong = first["wrong_if_assumed"].to_numpy(np.float64)
    margin = 1.96 * float(np.sqrt((wrong * (1 - wrong)).sum()))
    low, high = max(0.0, wrong.sum() - margin), min(float(len(first)), wrong.sum() + margin)
    unknown = float("nan")
    yield (
        "another look at labels",
        unknown,
        unknown,
        unknown,
        f"another look at the labels of {number_of(len(table), 'candidate')}: of the first {len(first)}, "
        f"{wrong.sum():.1f} [{low:.1f}, {high:.1f}] are expected to be wrong "
        f"if {ERROR_SHARE:.0%} of all labels are, and the others to be right",
    )


def summary(results: Measurements) -> Iterator[str]:
    """Yield the findings in lines: learning curves, networks, views, columns, labels."""
    for curve in results.curves:
        points = curve.table[curve.table["kind"] == "measured"]
        aucs = ", ".join(f"{row['auc']:.3f} ({row['share']:.0%})" for _, row in points.iterrows())
        yield (
            f"patients, {points['what'].iloc[0]}: AUC {aucs}; from half to all {in_words(curve.from_half)}; "
            f"twice as many {in_words(curve.of_double)}: {curve.verdict()}"
        )
    without = results.networks[results.networks["kind"] == "without"]
    if len(without):
        parts = [
            f"{row['network']} {in_words(Interval(row['adds'], row['low'], row['high']))}"
            for _, row in without.iterrows()
        ]
        yield f"networks, what each adds to the others: {'; '.join(parts[:5])}"
    else:
        yield "networks: only one is stacked, so what another would add is not known; a second one would show it"
    if len(results.views):
        rows = results.views[results.views["kind"] == "measured"].groupby("network").tail(1)
        parts = [
            f"{row['network']} {in_words(Interval(row['adds'], row['adds_low'], row['adds_high']))}"
            for _, row in rows.iterrows()
        ]
        yield f"views, all against half of them: {'; '.join(parts[:4])}"
    else:
        yield "views: the run has no predictions per view (networks from elsewhere bring one prediction per case)"
    parts = [
        f"{row['part']} {in_words(Interval(row['adds'], row['low'], row['high']))}"
        for _, row in results.metadata.iterrows()
    ]
    yield f"columns, what they add to the rest: {'; '.join(parts[:4])}"


def in_words(gain: Interval) -> str:
    """Return a gain of AUC with its limits."""
    return f"{gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"


def chance(gain: Interval) -> str:
    """Return the words for a gain that may be chance, or ""."""
    return "" if gain.low > 0 or gain.high < 0 else "; it may be none"
