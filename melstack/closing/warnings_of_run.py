"""The warnings of a run in a line each, from its files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from features.leaks.findings import RESOLVED_LEAK, Finding
from level2_stack.foreign.messages import warnings_in
from melstack.report.column_words import ACQUISITION
from runtime.files import read_json

if TYPE_CHECKING:
    from melstack.closing.finished_stack import FinishedStack


def warnings_of(stack: FinishedStack) -> Iterator[str]:
    """Yield the warnings on the cases, the networks and the columns of ``stack``."""
    yield from leak_warnings(stack.run.folder / "leaks.json")
    yield from _network_warnings(stack)
    yield from _shifted_columns(stack)
    yield from _suspicious_blocks(stack)


def leak_warnings(report: Path) -> Iterator[str]:
    """Yield a sentence with the leaks that were resolved, if the audit in ``report`` has any."""
    findings = [Finding.from_facts(values) for values in read_json(report)["findings"]] if report.is_file() else []
    kinds = [f"{each.count:,} {each.what}" for each in findings if each.severity == RESOLVED_LEAK]
    if kinds:
        yield f"leaks that were found and resolved: {', '.join(kinds)} ({report})"


def _network_warnings(stack: FinishedStack) -> Iterator[str]:
    """Yield the warnings of the import, incomplete networks, and networks whose own AUC is optimistic."""
    foreign = stack.run.folder / "foreign.json"
    notes = read_json(foreign)["networks"] if foreign.is_file() else {}
    for name in stack.networks:
        for sentence in warnings_in(notes.get(name, {}).get("notes", [])):
            yield f"{name}: {sentence}"
        row = stack.board.loc[name]
        if not row["complete"]:
            yield f"{name}: a score for only {row['rows']:,} training cases; its AUC is of these"
        folds = read_json(stack.run.level1 / name / "run.json").get("folds", [])
        if any("best_epoch" in fold for fold in folds):
            yield f"{name}: its AUC is optimistic: keep = 'best' chose each fold's epoch on its validation cases"


def _shifted_columns(stack: FinishedStack) -> Iterator[str]:
    """Yield a sentence with the blocks whose acquisition columns were left out."""
    recipe, table = stack.decisions["recipe"], stack.table("shift")
    if recipe["acquisition"] != "auto" or table.empty:
        return
    sets = table.index[~(table["high"] <= recipe["shift_threshold"])]
    names = [str(name).removesuffix(ACQUISITION) for name in sets if str(name).endswith(ACQUISITION)]
    if names:
        yield (
            f"acquisition columns of {' and '.join(names)} are left out: they may differ between training and test "
            "cases (shift.csv)"
        )


def _suspicious_blocks(stack: FinishedStack) -> Iterator[str]:
    """Yield the sentence of the ablation for every block that may leak the target."""
    table = stack.table("ablation")
    if not table.empty and stack.networks:
        from level2_stack.crossval.ablation import leak_sentences  # slow to import

        yield from leak_sentences(table, float(stack.board["auc"][stack.networks[0]]))
