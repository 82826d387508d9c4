"""Compare experiments: paired tests on the same cases, and the settings in which the experiments differ."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
from rich.table import Column, Table

from level2_stack.evaluation.paired import compare
from melstack.report.run_history.settings import ABSENT, differing_keys
from melstack.report.run_history.stacks import Experiment, is_replaced, named_stacks, read_history, run_folders
from runtime.errors import InputFault, did_you_mean
from runtime.files import check_writable, write_text
from runtime.invocation import option
from runtime.progress import say

REPLICATES = 1000
SETTING = "set."  # the prefix of the columns that hold settings
TEST_COLUMNS = ("against", "gain", "gain_low", "gain_high", "p")
MAX_SIDE_BY_SIDE = 6  # experiments whose settings fit side by side in a terminal


def compare_runs(runs: Sequence[Path], root: Path, against: str = "", store: Path | None = None) -> pd.DataFrame:
    """Print the table of all finished stacks of ``runs`` (default: all run folders in ``root``), and return it.

    The table is written to ``root``/leaderboard.csv. ``against`` is the experiment (<run>/<recipe>, or a run with one
    recipe) against which the others are tested; by default it is the best on the same cases. With ``store`` the
    experiments are also logged to MLflow. Raises InputFault for folders without a finished stack, and for an unknown
    or ambiguous ``against``.
    """
    check_writable(root)
    folders = run_folders(runs, root)
    reference = _full_name(named_stacks(folders), against) if against else None
    experiments = read_history(folders)
    board = history_table(experiments, reference)
    out = root / "leaderboard.csv"
    write_text(out, board.to_csv())
    print_history(board)
    say(f"leaderboard: {out}")
    if store is not None:
        from melstack.report.run_history.mlflow_log import log_history  # an optional extra

        log_history(experiments, store)
    return board


def history_table(experiments: Sequence[Experiment], against: str | None = None) -> pd.DataFrame:
    """Return one row per experiment, grouped by their cases: the largest group first, in a group the best AUC first.

    Columns: ``group`` (equal for the same names and targets of the training cases); those of `Experiment.results`;
    ``against``, the experiment against which this one is tested; ``gain``, its AUC minus that of ``against``, with
    ``gain_low, gain_high`` (95 %, patients resampled, paired) and ``p`` (two-sided, from the same draws); and a column
    ``set.<key>`` for every setting in which any two of the experiments differ.
    """
    keys = differing_keys([each.settings for each in experiments])
    rows = []
    for number, group in enumerate(_groups(experiments), start=1):
        tests = _paired_tests(group, against)
        for each in group:
            settings = {f"{SETTING}{key}": each.settings.get(key, ABSENT) for key in keys}
            rows.append({"experiment": each.name, "group": number, **each.results, **tests[each.name], **settings})
    return pd.DataFrame(rows).set_index("experiment")


def _groups(experiments: Sequence[Experiment]) -> list[list[Experiment]]:
    by_key = sorted(experiments, key=lambda each: each.cases_key)
    groups = [list(group) for _, group in groupby(by_key, key=lambda each: each.cases_key)]
    groups = [sorted(group, key=lambda each: (-each.results["auc"], each.name)) for group in groups]
    return sorted(groups, key=lambda group: (-len(group), -len(group[0].cases), group[0].name))


def _paired_tests(group: Sequence[Experiment], against: str | None) -> dict[str, dict[str, object]]:
    names = [each.name for each in group]
    reference = group[0] if against is None else next((each for each in group if each.name == against), None)
    empty: dict[str, dict[str, object]] = {
        name: dict.fromkeys(TEST_COLUMNS, np.nan) | {"against": ""} for name in names
    }
    if reference is None or len(group) == 1:
        return empty
    index = reference.cases.index
    scores = pd.DataFrame({each.name: each.score.reindex(index) for each in group})
    y = reference.cases["target"].to_numpy(dtype=np.float64)
    patients = reference.cases["patient_id"].to_numpy(dtype=object)
    pairs = [(name, reference.name) for name in names if name != reference.name]
    table = compare(y, scores, patients, pairs=pairs, replicates=REPLICATES)
    columns = ["against", "gain", "low", "high", "p_bootstrap"]
    rows = table.set_index("model")[columns].to_dict(orient="index")
    return empty | {str(name): dict(zip(TEST_COLUMNS, row.values(), strict=True)) for name, row in rows.items()}


def _full_name(stacks: Mapping[str, Path], text: str) -> str:
    """Return the name of the experiment that ``text`` names: its own name, its run, or the path of either."""
    matches = [name for name, folder in stacks.items() if text.removesuffix("/") in _aliases(name, folder)]
    if len(matches) == 1:
        return matches[0]
    where = option("against", text)
    if matches:
        raise InputFault(f"{where}: this run has several stacks; name one of {', '.join(matches)}")
    raise InputFault(f"{where}: no such experiment; {did_you_mean(text, list(stacks))}")


def _aliases(name: str, folder: Path) -> tuple[str, ...]:
    if is_replaced(folder):
        return name, str(folder)
    return name, name.rpartition("/")[0], str(folder), str(folder.parents[1])


def print_history(board: pd.DataFrame) -> None:
    """Print the table of experiments, sentences on how to read it, and the settings that differ."""
    experiment = Column("experiment", overflow="fold")  # the whole name, since --against takes it
    table = Table("", experiment, "AUC", "95 %", "log loss", "cases (malignant)", "networks", "gain [95 %]", "p")
    table.title = "Experiments: AUC of the headline, out of fold, nested, patient-grouped"
    for number, (name, row) in enumerate(board.iterrows(), start=1):
        if number > 1 and row["group"] != board["group"].iloc[number - 2]:
            table.add_section()
        table.add_row(str(number), *_cells(str(name), row))
    say(table)
    for sentence in _sentences(board):
        say(sentence)
    _print_settings(board)


def _cells(name: str, row: pd.Series) -> list[str]:
    limits, log_loss = f"{row['low']:.4f}-{row['high']:.4f}", f"{row['log_loss']:.5f}"
    prevalence = row["prevalence"]
    counts = [f"{row['cases']} ({row['malignant']})", str(row["networks"])]
    return [
        name,
        f"{row['auc']:.4f}",
        limits,
        log_loss if pd.isna(prevalence) else f"{log_loss} at {prevalence:g}",
        *counts,
        *_gain(row),
    ]


def _gain(row: pd.Series) -> tuple[str, str]:
    if pd.isna(row["gain"]):
        return "", ""
    return f"{row['gain']:+.4f} [{row['gain_low']:+.4f}, {row['gain_high']:+.4f}]", f"{row['p']:.3f}"


def _sentences(board: pd.DataFrame) -> list[str]:
    sentences = [
        f"gain: AUC minus the AUC of {name}, on the same cases (patients resampled)" for name in _references(board)
    ]
    if board["group"].nunique() > 1:
        sentences.append("a line separates experiments on different cases (names or targets); do not compare across it")
    if board["prevalence"].notna().any():
        sentences.append("log loss 'at' a prevalence is weighted to it; compare it only at the same prevalence")
    if (board["gain"].notna()).sum() > 1:
        sentences.append(
            "each p is for one pair, not corrected for the number of experiments: the best of many looks too good"
        )
    return sentences


def _references(board: pd.DataFrame) -> list[str]:
    return [name for name in dict.fromkeys(board["against"]) if name]


def _print_settings(board: pd.DataFrame) -> None:
    keys = [name for name in board.columns if name.startswith(SETTING)]
    if len(board) < 2:
        return
    if not keys:
        say("all settings are the same")
    elif len(board) > MAX_SIDE_BY_SIDE:
        names = ", ".join(key.removeprefix(SETTING) for key in keys)
        say(f"settings that differ ({len(keys)}; columns {SETTING}* of leaderboard.csv): {names}")
    else:
        table = Table(
            "setting", *map(str, range(1, len(board) + 1)), title="Settings that differ, by number of experiment"
        )
        for key in keys:
            table.add_row(key.removeprefix(SETTING), *board[key])
        say(table)
