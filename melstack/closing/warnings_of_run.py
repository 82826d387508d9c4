"""The warnings of a run in a line each, from its files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from features.leaks.audit import REPORT
from features.leaks.findings import RESOLVED_LEAK, WARNING
from level2_stack.design.fold_checks import foreign_fold_warnings
from level2_stack.foreign.messages import imported_networks, shorten, warnings_in
from melstack.all_findings import audit_findings, stack_findings, unknown_names
from melstack.report.column_words import ACQUISITION
from runtime.files import read_json
from runtime.invocation import option

if TYPE_CHECKING:
    from melstack.closing.finished_stack import FinishedStack
    from runtime.run_folder import Run


def warnings_of(stack: FinishedStack) -> Iterator[str]:
    """Yield the warnings on the cases, the networks and the columns of ``stack``."""
    yield from audit_warnings(stack.run)
    yield from _network_warnings(stack)
    yield from foreign_fold_warnings(stack.run, stack.networks)
    yield from _shifted_columns(stack)
    yield from _stack_warnings(stack)


def audit_warnings(run: Run) -> Iterator[str]:
    """Yield a sentence with the leaks that the audit of ``run`` resolved, and one for each of its warnings."""
    findings = audit_findings(run)
    kinds = [f"{each.count:,} {each.what}" for each in findings if each.severity == RESOLVED_LEAK]
    if kinds:
        yield f"leaks that were found and resolved: {', '.join(kinds)} ({run.folder / REPORT})"
    yield from (each.text() for each in findings if each.severity == WARNING)


def _network_warnings(stack: FinishedStack) -> Iterator[str]:
    """Yield the warnings of the import, incomplete networks, and networks whose own AUC is optimistic."""
    networks = imported_networks(stack.run.folder)
    for name in stack.networks:
        for sentence in warnings_in(networks[name]["notes"]) if name in networks else []:
            yield f"{name}: {shorten(sentence)}"
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


def _stack_warnings(stack: FinishedStack) -> Iterator[str]:
    """Yield the findings that only the stack shows, and the names of accepted findings that there are not."""
    yield from (finding.text() for finding in stack_findings(stack.run, stack.recipe))
    if names := unknown_names(stack.run, stack.recipe):
        yield f"{option('accept-finding', ' '.join(names))}: this run has no finding of that name"
