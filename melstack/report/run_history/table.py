"""Experiments side by side: which is better on the same cases, beyond chance, and what was set differently."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
from rich.table import Table

from level2_stack.evaluation.paired import compare
from melstack.report.run_history.settings import ABSENT, differing
from melstack.report.run_history.stacks import Experiment, read_history, run_folders
from runtime.errors import InputFault, did_you_mean
from runtime.files import write_text
from runtime.progress import console, say

REPLICATES = 1000
SETTING = "set."  # the prefix of the columns that hold settings
TESTED = ("against", "gain", "gain_low", "gain_high", "p")
MOST_BESIDE = 6  # experiments whose settings fit beside each other in a terminal


def compare_runs(asked: Sequence[Path], root: Path, against: str = "", store: Path | None = None) -> pd.DataFrame:
    """Print and write ``root``/leaderboard.csv: every finished stack of the ``asked`` run folders (default: of all).

    ``against`` names the experiment (<run>/<recipe>, or a run with one recipe) that others are tested against; without
    it each is tested against the best on the same cases. With ``store`` they are logged to MLflow as well. Raises
    InputFault for folders without a finished stack, and an unknown or ambiguous ``against``.
    """
    experiments = read_history(run_folders(asked, root))
    board = history_table(experiments, _named(experiments, against) if against else None)
    out = root / "leaderboard.csv"
    write_text(out, board.to_csv())
    print_history(board)
    say(f"leaderboard of experiments: {out}")
    if store is not None:
        from melstack.report.run_history.mlflow_log import log_history  # an optional extra

        log_history(experiments, store)
    return board


def history_table(experiments: Sequence[Experiment], against: str | None = None) -> pd.DataFrame:
    """Return one row per experiment: those on the same cases together, the largest such group first, best AUC first.

    Columns: ``group`` (equal where names and targets of the training cases are), what `Experiment.measured` has,
    ``against``, the experiment that this one is tested against on the same cases, ``gain`` = its AUC minus that one's
    with ``gain_low, gain_high`` (95 %, patients resampled, paired) and ``p`` (two-sided, of the same draws); and a
    column ``set.<key>`` for every setting in which any two of the experiments differ.
    """
    keys = differing([one.settings for one in experiments])
    rows = []
    for number, group in enumerate(_groups(experiments), start=1):
        tested = _tested(group, against)
        for one in group:
            settings = {f"{SETTING}{key}": one.settings.get(key, ABSENT) for key in keys}
            rows.append({"experiment": one.name, "group": number, **one.measured, **tested[one.name], **settings})
    return pd.DataFrame(rows).set_index("experiment")


def _groups(experiments: Sequence[Experiment]) -> list[list[Experiment]]:
    by_key = sorted(experiments, key=lambda one: one.cases_key)
    groups = [list(group) for _, group in groupby(by_key, key=lambda one: one.cases_key)]
    ordered = [sorted(group, key=lambda one: (-one.measured["auc"], one.name)) for group in groups]
    return sorted(ordered, key=lambda group: (-len(group), -len(group[0].cases), group[0].name))


def _tested(group: Sequence[Experiment], against: str | None) -> dict[str, dict[str, object]]:
    names = [one.name for one in group]
    reference = group[0] if against is None else next((one for one in group if one.name == against), None)
    untested: dict[str, dict[str, object]] = {name: dict.fromkeys(TESTED, np.nan) | {"against": ""} for name in names}
    if reference is None or len(group) == 1:
        return untested
    index = reference.cases.index
    scores = pd.DataFrame({one.name: one.score.reindex(index) for one in group})
    y = reference.cases["target"].to_numpy(dtype=np.float64)
    patients = reference.cases["patient_id"].to_numpy(dtype=object)
    pairs = [(name, reference.name) for name in names if name != reference.name]
    found = compare(y, scores, patients, pairs=pairs, replicates=REPLICATES)
    kept = ["against", "gain", "low", "high", "p_bootstrap"]
    rows = found.set_index("model")[kept].to_dict(orient="index")
    return untested | {str(name): dict(zip(TESTED, row.values(), strict=True)) for name, row in rows.items()}


def _named(experiments: Sequence[Experiment], asked: str) -> str:
    """Return the name of the one experiment that ``asked`` names, by itself or by its run."""
    wanted = asked.removesuffix("/")
    found = [one.name for one in experiments if wanted in _called(one)]
    if len(found) == 1:
        return found[0]
    names = [one.name for one in experiments]
    raise InputFault(f"against = {asked!r}: {'one of ' + ', '.join(found) if found else did_you_mean(asked, names)}")


def _called(one: Experiment) -> tuple[str, ...]:
    return one.name, one.name.rpartition("/")[0], str(one.folder), str(one.folder.parents[1])


def print_history(board: pd.DataFrame) -> None:
    """Print the table of experiments, what their settings differ in, and how to read it."""
    table = Table("", "experiment", "AUC", "95 %", "log loss", "cases (malignant)", "networks", "gain [95 %]", "p")
    table.title = "Experiments: AUC of the headline, out of fold, nested, patient-grouped"
    for place, (name, row) in enumerate(board.iterrows(), start=1):
        if place > 1 and row["group"] != board["group"].iloc[place - 2]:
            table.add_section()
        table.add_row(str(place), *_shown(str(name), row))
    console.print(table)
    for sentence in _sentences(board):
        say(sentence)
    _print_settings(board)


def _shown(name: str, row: pd.Series) -> list[str]:
    limits, log_loss = f"{row['low']:.4f}-{row['high']:.4f}", f"{row['log_loss']:.5f}"
    at = row["prevalence"]
    counts = [f"{row['cases']} ({row['malignant']})", str(row["networks"])]
    return [
        name,
        f"{row['auc']:.4f}",
        limits,
        log_loss if pd.isna(at) else f"{log_loss} at {at:g}",
        *counts,
        *_gain(row),
    ]


def _gain(row: pd.Series) -> tuple[str, str]:
    if pd.isna(row["gain"]):
        return "", ""
    return f"{row['gain']:+.4f} [{row['gain_low']:+.4f}, {row['gain_high']:+.4f}]", f"{row['p']:.3f}"


def _sentences(board: pd.DataFrame) -> list[str]:
    said = [f"gain: AUC minus that of {name}, on the same cases (patients resampled)" for name in _references(board)]
    if board["group"].nunique() > 1:
        said.append("a line parts experiments on other cases (names or targets): across it nothing can be compared")
    if board["prevalence"].notna().any():
        said.append("log loss 'at' a prevalence is weighted to it, and comparable at the same one only")
    if (board["gain"].notna()).sum() > 1:
        said.append("p is of each pair alone; the best of many experiments looks better than it is")
    return said


def _references(board: pd.DataFrame) -> list[str]:
    return [name for name in dict.fromkeys(board["against"]) if name]


def _print_settings(board: pd.DataFrame) -> None:
    keys = [name for name in board.columns if name.startswith(SETTING)]
    if len(board) < 2:
        return
    if not keys:
        say("no setting differs")
    elif len(board) > MOST_BESIDE:
        shown = ", ".join(key.removeprefix(SETTING) for key in keys)
        say(f"settings that differ ({len(keys)}; the columns {SETTING}* of the CSV): {shown}")
    else:
        table = Table("differs in", *map(str, range(1, len(board) + 1)), title="What differs, by number of experiment")
        for key in keys:
            table.add_row(key.removeprefix(SETTING), *board[key])
        console.print(table)
