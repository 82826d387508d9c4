"""The top of the report: what the stack predicts, the AUC to quote, and whether the stack beats the rank mean."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from level2_stack.crossval.choose import RANK_MEAN
from level2_stack.evaluation.auc import Interval
from melstack.report.column_words import with_raw_name
from melstack.report.formats import is_known, number, percent, with_sign
from melstack.report.run_page.inputs import StackResults
from runtime.plural import number_of

NOT_BEYOND_CHANCE = "The stack does not beat the rank mean beyond chance"


@dataclass(frozen=True)
class Verdict:
    """Whether the headline beats the rank mean: a tone (good, bad, unclear), a title and a sentence."""

    tone: str
    title: str
    sentence: str


@dataclass(frozen=True)
class Card:
    """One number at the top of the page: its name, its value, and a note below."""

    name: str
    value: str
    note: str


def prediction_sentence(stack: StackResults) -> str:
    """Return a sentence on the predictions: for how many pictures and patients, and by which models."""
    train = stack.train
    test = int((stack.cases["role"] == "test").sum())
    positives = int(train["target"].sum())
    base = (
        f"The probability of melanoma for {number_of(len(train), 'picture')} of "
        f"{number_of(train['patient_id'].nunique(), 'patient')} "
        f"({positives:,} malignant, {percent(positives / len(train))}), each predicted by models that never saw the "
        "patient"
    )
    return f"{base}; and for {number_of(test, 'test picture')}." if test else f"{base}."


def headline_auc(stack: StackResults) -> Interval:
    """Return the AUC to quote and its 95 % interval, patients resampled: of the headline, or without what shifts."""
    row = stack.smaller or stack.board.loc[stack.headline]
    return Interval(float(row["auc"]), float(row["low"]), float(row["high"]))


def verdict(
    board: pd.DataFrame, headline: str, submission: str, best_stack: Mapping[str, Any] | None = None
) -> Verdict:
    """Return the verdict on ``headline`` against the rank mean, by the paired interval in the leaderboard ``board``.

    ``submission`` is the name of the submitted model, which is expected to be best, or which the recipe sets. The
    verdict is what can be claimed. If the rank mean is submitted, because no gain of ``best_stack`` (entry "preferred"
    of decisions.json) is expected, the headline is close to the rank mean by construction, and the verdict states the
    gain of that stack instead.
    """
    if headline == RANK_MEAN:
        return Verdict("unclear", "The rank mean itself", "The recipe submits the rank mean; no stack was compared.")
    if RANK_MEAN not in board.index:
        return Verdict("unclear", "No rank mean to compare with", "The recipe does not list the learner rank_mean.")
    if submission == RANK_MEAN and best_stack and best_stack.get("gain") is not None:
        gain, low, high = (float(best_stack[name]) for name in ("gain", "low", "high"))
        sentence = (
            f"The gain of {best_stack['preferred']} is {_gain(gain, low, high)}; submitted: rank_mean, because "
            "no gain on new cases is expected."
        )
        return Verdict("unclear", NOT_BEYOND_CHANCE, sentence)
    gain, low, high = (float(board[name][RANK_MEAN]) for name in ("gain", "gain_low", "gain_high"))
    reason = "expected to be best on new cases" if best_stack else "as the recipe says"
    sentence = f"The gain of {headline} is {_gain(gain, low, high)}; submitted: {submission}, {reason}."
    if low > 0:
        return Verdict("good", "The stack beats the rank mean", sentence)
    if high < 0:
        return Verdict("bad", "The rank mean beats the stack", sentence)
    return Verdict("unclear", NOT_BEYOND_CHANCE, sentence)


def _gain(value: float, low: float, high: float) -> str:
    return f"{with_sign(value)} [{with_sign(low)}, {with_sign(high)}] AUC (paired, 95 %)"


def cards(stack: StackResults) -> list[Card]:
    """Return the key numbers shown below the AUC."""
    metrics = stack.tables["metrics"]
    own = metrics[metrics["model"] == stack.headline].set_index("metric")
    calibration = _row(stack.tables["calibration"].set_index("model"), stack.headline)
    best, network = float(stack.board["auc"][stack.best_network]), stack.best_network
    has_target = stack.deployment_prevalence is not None
    at = f"at a prevalence of {percent(stack.prevalence)}" if has_target else "among the training rows"
    return [
        Card("Best single network", number(best, 3), with_raw_name(stack.words.network(network), network)),
        _metric(own, "sensitivity_at_90_specificity", "Sensitivity at 90 % specificity"),
        _metric(own, "specificity_at_90_sensitivity", "Specificity at 90 % sensitivity"),
        _metric(own, "average_precision", "Average precision"),
        Card(
            "Mean predicted probability", percent(calibration["mean_probability"]), _calibration_note(calibration, at)
        ),
    ]


def _row(table: pd.DataFrame, name: str) -> dict[str, float]:
    """Return the numbers of row ``name``, by column."""
    numbers = table.select_dtypes("number").to_dict("index")[name]
    return {str(key): float(value) for key, value in numbers.items()}


def _metric(own: pd.DataFrame, metric: str, title: str) -> Card:
    if metric not in own.index:
        return Card(title, "–", "not measured")
    row = _row(own, metric)
    interval, prevalence = f"{number(row['low'], 3)} – {number(row['high'], 3)}", row.get("prevalence")
    return Card(
        title,
        number(row["value"], 3),
        interval + (f", at a prevalence of {percent(prevalence)}" if is_known(prevalence) else ""),
    )


def _calibration_note(calibration: Mapping[str, float], at: str) -> str:
    return f"observed {percent(calibration['observed'])} {at}; ECE {number(calibration['ece'], 4)}"
