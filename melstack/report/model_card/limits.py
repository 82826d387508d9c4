"""The limits section of a model card: one sentence per limit that the tables of the run show."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from level2_stack.evaluation.subgroups import FOLD_KIND
from melstack.report.column_words import group_words, with_raw_name
from melstack.report.model_card.data import skin_tone_columns
from runtime.plural import number_of

SHIFT_THRESHOLD = 0.6  # the default recipe drops acquisition columns if the upper limit of the shift's AUC is above


def limits(cases: pd.DataFrame, tables: Mapping[str, pd.DataFrame], decisions: Mapping[str, Any]) -> list[str]:
    """Return sentences on the limits of the stack, as far as ``cases`` and ``tables`` show them."""
    sentences = [
        *_always(
            cases, tables["metrics"], has_named_folds=bool(tables["subgroups"]["kind"].str.startswith(FOLD_KIND).any())
        ),
        *_against_networks(tables["leaderboard"], decisions["headline"]),
        *_by_subgroup(tables["subgroups"]),
        *_shift(tables.get("shift"), decisions),
        *_prevalence(cases, decisions),
    ]
    if not skin_tone_columns(cases):
        sentences.append("The case table has no skin tone, so differences by skin tone are unknown.")
    return sentences


def _always(cases: pd.DataFrame, metrics: pd.DataFrame, *, has_named_folds: bool) -> Iterator[str]:
    positives, patients = int(metrics["positives"].iloc[0]), int(metrics["patients"].iloc[0])
    yield (
        f"All figures are for the training cases, out of fold ({number_of(positives, 'malignant picture')}, "
        f"{number_of(patients, 'patient')}). "
        "The run has no evaluation at another site, at a later time, or in clinical use"
        f"{', beyond its folds' if has_named_folds else ''}."
    )
    if (cases["role"] == "extra").any():
        yield "External cases were available for training; the figures here do not include them."


def _against_networks(board: pd.DataFrame, headline: str) -> Iterator[str]:
    rows = board[board["name"].ne(headline) & board["kind"].isin(["network", "baseline"])]
    unsure = rows.loc[rows["gain_low"] <= 0, "name"].tolist()
    if unsure:
        yield (
            f"The stack may be better than {', '.join(unsure)} by chance only: "
            "the paired 95 % interval of its gain is not above 0."
        )


def _by_subgroup(table: pd.DataFrame) -> Iterator[str]:
    parts = table[table["kind"] != "all"]
    small = parts[parts["auc_low"].isna()]
    if len(small):
        names = ", ".join(f"{row.kind} {row.value}" for row in small.itertuples())
        yield f"Too few patients of a class for an interval of the AUC: {names}."
    high, low = parts[parts["excess_low"] > 0], parts[parts["excess_high"] < 0]
    for rows, word in ((high, "too high"), (low, "too low")):
        if len(rows):
            names = ", ".join(f"{row.kind} {row.value} ({row.excess:+.4f})" for row in rows.itertuples())
            yield f"The mean probability is {word} (95 %) in: {names}; in brackets predicted minus observed."


def _shift(shift: pd.DataFrame | None, decisions: Mapping[str, Any]) -> Iterator[str]:
    if shift is None:
        return
    threshold = decisions["recipe"].get("shift_threshold", SHIFT_THRESHOLD)
    beyond = shift[(shift["low"] > 0.5) & (shift["high"] > threshold)]
    if len(beyond):
        groups = ", ".join(
            f"{with_raw_name(group_words(row.columns), row.columns)} {row.auc:.2f} [{row.low:.2f}, {row.high:.2f}]"
            for row in _rows(beyond)
        )
        yield (
            f"A model can distinguish test cases from training cases by: {groups} (AUC; 0.5 means no shift). "
            "The figures may not hold for the test cases."
        )


def _rows(table: pd.DataFrame) -> Iterator[Any]:
    return table.itertuples(name="Shift")


def _prevalence(cases: pd.DataFrame, decisions: Mapping[str, Any]) -> Iterator[str]:
    target_prevalence = decisions["recipe"].get("calibration", {}).get("prevalence")
    in_training = float(cases.loc[cases["role"] == "train", "target"].mean())
    if target_prevalence is not None:
        yield (
            f"The probabilities are converted to a prevalence of {target_prevalence:g} by a formula; "
            "the run has no cases from a population with that prevalence."
        )
    else:
        yield (
            f"The probabilities are for a prevalence of {100 * in_training:.2f} %, that of the training cases; for "
            "another prevalence they are wrong unless the stack is made with the option --prevalence."
        )
