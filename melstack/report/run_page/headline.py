"""The top of the report: what was predicted, the number to quote, and whether the stack was worth it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from level2_stack.crossval.choose import RANK_MEAN
from level2_stack.evaluation.auc import Interval
from melstack.report.run_page.formats import number, percent, signed
from melstack.report.run_page.inputs import Artefacts

NOT_BEYOND_CHANCE = "The stack does not beat the rank mean beyond chance"


@dataclass(frozen=True)
class Verdict:
    """Whether the headline beats the rank mean: a tone (good, bad, unclear), a title and a sentence."""

    tone: str
    title: str
    sentence: str


@dataclass(frozen=True)
class Card:
    """One number at the top: its name, the value, and what it stands for."""

    name: str
    value: str
    note: str


def predicted(found: Artefacts) -> str:
    """Return in a sentence what was predicted, for whom, and on which rows the numbers rest."""
    train = found.train
    test = int((found.cases["role"] == "test").sum())
    positives = int(train["target"].sum())
    base = (
        f"The probability of melanoma for {len(train):,} pictures of {train['patient_id'].nunique():,} patients "
        f"({positives:,} malignant, {percent(positives / len(train))}), each predicted by models that never saw the "
        "patient"
    )
    return f"{base}; and for {test:,} test pictures." if test else f"{base}."


def headline_auc(found: Artefacts) -> Interval:
    """Return the AUC of the headline and its 95 % interval, patients resampled."""
    row = found.board.loc[found.headline]
    return Interval(float(row["auc"]), float(row["low"]), float(row["high"]))


def verdict(board: pd.DataFrame, headline: str, submitted: str, preferred: Mapping[str, Any] | None = None) -> Verdict:
    """Return what ``headline`` gains on the rank mean by the paired interval of the leaderboard ``board``.

    Where the rank mean is submitted because the best stack, ``preferred`` in decisions.json, does not beat it, the
    headline is the rank mean's equal by construction, and the gain of that stack is told instead.
    """
    if headline == RANK_MEAN:
        return Verdict("unclear", "The rank mean itself", "The recipe submits the rank mean; no stack was judged.")
    if RANK_MEAN not in board.index:
        return Verdict("unclear", "No rank mean to compare with", "The recipe has no learner rank_mean.")
    if submitted == RANK_MEAN and preferred and preferred.get("gain") is not None:
        gain, low, high = (float(preferred[name]) for name in ("gain", "low", "high"))
        said = f"{preferred['preferred']} gains {_gain(gain, low, high)}, so the rank mean itself is submitted."
        return Verdict("unclear", NOT_BEYOND_CHANCE, said)
    gain, low, high = (float(board[name][RANK_MEAN]) for name in ("gain", "gain_low", "gain_high"))
    said = f"{headline} gains {_gain(gain, low, high)}; submitted: {submitted}."
    if low > 0:
        return Verdict("good", "The stack beats the rank mean", said)
    if high < 0:
        return Verdict("bad", "The rank mean beats the stack", said)
    return Verdict("unclear", NOT_BEYOND_CHANCE, said)


def _gain(value: float, low: float, high: float) -> str:
    return f"{signed(value)} [{signed(low)}, {signed(high)}] AUC (paired, 95 %)"


def cards(found: Artefacts) -> list[Card]:
    """Return the few numbers that stand beside the AUC."""
    metrics = found.tables["metrics"]
    own = metrics[metrics["model"] == found.headline].set_index("metric")
    calibration = _row(found.tables["calibration"].set_index("model"), found.headline)
    best = float(found.board["auc"][found.best_network])
    at = f"at a prevalence of {percent(found.prevalence)}" if found.deployed is not None else "of the training rows"
    of_training = "" if found.deployed is None else ", of the training rows"
    return [
        Card("Best single network", number(best, 3), found.best_network),
        _metric(own, "sensitivity_at_90_specificity", "Sensitivity at 90 % specificity"),
        _metric(own, "specificity_at_90_sensitivity", "Specificity at 90 % sensitivity"),
        _metric(own, "average_precision", f"Average precision{of_training}"),
        Card("Predicted on average", percent(calibration["mean_probability"]), _observed(calibration, at)),
    ]


def _row(table: pd.DataFrame, name: str) -> dict[str, float]:
    """Return the numbers of one row, by column."""
    numbers = table.select_dtypes("number").to_dict("index")[name]
    return {str(key): float(value) for key, value in numbers.items()}


def _metric(own: pd.DataFrame, metric: str, called: str) -> Card:
    if metric not in own.index:
        return Card(called, "–", "not measured")
    row = _row(own, metric)
    return Card(called, number(row["value"], 3), f"{number(row['low'], 3)} – {number(row['high'], 3)}")


def _observed(calibration: Mapping[str, float], at: str) -> str:
    return f"observed {percent(calibration['observed'])} {at}; ECE {number(calibration['ece'], 4)}"
