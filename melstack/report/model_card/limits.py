"""The limits that a run's own tables show, each as a sentence of its model card."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from melstack.report.model_card.data import skin_tone_columns

FAR_FROM_CHANCE = 0.6  # the upper end of a shift's AUC above which the default recipe drops acquisition columns


def limits(cases: pd.DataFrame, tables: Mapping[str, pd.DataFrame], decided: Mapping[str, Any]) -> list[str]:
    """Return what a reader must know before he relies on the stack: only what ``cases`` and ``tables`` show."""
    found = [
        *_always(cases, tables["metrics"]),
        *_against_networks(tables["leaderboard"], decided["headline"]),
        *_by_subgroup(tables["subgroups"]),
        *_shifted(tables.get("shift"), decided),
        *_prevalence(cases, decided),
    ]
    if not skin_tone_columns(cases):
        found.append("Skin tone is not available in the case table, so nothing is known of differences by skin tone.")
    return found


def _always(cases: pd.DataFrame, metrics: pd.DataFrame) -> Iterator[str]:
    positives, patients = int(metrics["positives"].iloc[0]), int(metrics["patients"].iloc[0])
    yield (
        f"All figures are of the training cases, out of fold ({positives} malignant pictures, {patients} patients). "
        "The run holds no evaluation at another site or at a later time, and none by its users."
    )
    if (cases["role"] == "extra").any():
        yield "External cases were available for training; none of them is in any figure here."


def _against_networks(board: pd.DataFrame, headline: str) -> Iterator[str]:
    rows = board[board["name"].ne(headline) & board["kind"].isin(["network", "baseline"])]
    unsure = rows.loc[rows["gain_low"] <= 0, "name"].tolist()
    if unsure:
        yield (
            f"Chance alone may explain why the stack stands above {', '.join(unsure)}: "
            "the paired 95 % interval of the gain reaches 0."
        )


def _by_subgroup(table: pd.DataFrame) -> Iterator[str]:
    parts = table[table["kind"] != "all"]
    small = parts[parts["auc_low"].isna()]
    if len(small):
        listed = ", ".join(f"{row.kind} {row.value}" for row in small.itertuples())
        yield f"Too few patients of a class for an interval of the AUC: {listed}."
    high, low = parts[parts["excess_low"] > 0], parts[parts["excess_high"] < 0]
    for rows, word in ((high, "too high"), (low, "too low")):
        if len(rows):
            listed = ", ".join(f"{row.kind} {row.value} ({row.excess:+.4f})" for row in rows.itertuples())
            yield f"Probabilities are on average {word} in: {listed} (mean predicted minus observed; 95 %)."


def _shifted(shift: pd.DataFrame | None, decided: Mapping[str, Any]) -> Iterator[str]:
    if shift is None:
        return
    threshold = decided["recipe"].get("shift_threshold", FAR_FROM_CHANCE)
    beyond = shift[(shift["low"] > 0.5) & (shift["high"] > threshold)]
    if len(beyond):
        listed = ", ".join(f"{row.columns} {row.auc:.2f} [{row.low:.2f}, {row.high:.2f}]" for row in _rows(beyond))
        yield (
            f"Test cases can be told from training cases by: {listed} (AUC; 0.5 is no shift). "
            "Figures out of fold may not carry over to the test cases."
        )


def _rows(table: pd.DataFrame) -> Iterator[Any]:
    return table.itertuples(name="Shift")


def _prevalence(cases: pd.DataFrame, decided: Mapping[str, Any]) -> Iterator[str]:
    asked = decided["recipe"].get("calibration", {}).get("prevalence")
    trained = float(cases.loc[cases["role"] == "train", "target"].mean())
    if asked is not None:
        yield (
            f"Probabilities are shifted to a prevalence of {asked:g} by calculation; "
            "no case of a place with that prevalence was observed."
        )
    else:
        yield (
            f"Probabilities are for a place where {100 * trained:.2f} % of the pictures are malignant, as among the "
            "training cases; elsewhere they are wrong unless the prevalence is put right (PREVALENCE=...)."
        )
