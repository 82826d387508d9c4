"""Every finding about a run: of the leak audit, of brought networks, and of its stack, with what the user accepts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from features.leaks.audit import REPORT
from features.leaks.findings import WARNING, Finding, accept_findings, refuse_findings
from level2_stack.foreign.messages import imported_networks, warnings_in
from melstack.run_settings import read_run_settings
from runtime.errors import InputFault
from runtime.files import read_json
from runtime.invocation import command
from runtime.run_folder import Run

STACK_FINDINGS = "findings.json"


def audit_findings(run: Run) -> list[Finding]:
    """Return the findings of the audit of ``run`` in leaks.json; empty without an audit."""
    return with_acceptance(run, _read(run.folder / REPORT))


def stack_findings(run: Run, recipe: str) -> list[Finding]:
    """Return the findings that only the stack of ``recipe`` shows; empty without a stack."""
    return with_acceptance(run, _read(run.level2 / recipe / STACK_FINDINGS))


def network_findings(run: Run) -> Iterator[Finding]:
    """Yield a finding for every brought network that was refused, or that was admitted with a warning."""
    for name, network in imported_networks(run.folder).items():
        if network["refusal"]:
            yield Finding("brought network refused", 1, WARNING, "; ".join(network["refusal"]), [name])
        for sentence in warnings_in(network["notes"]):
            yield Finding("brought network with a warning", 1, WARNING, sentence, [name])


def refuse_stack(run: Run, recipe: str) -> None:
    """Raise InputFault if the stack of ``recipe`` has findings that the user has not accepted."""
    refuse_findings(stack_findings(run, recipe), str(run.level2 / recipe))


def unknown_names(run: Run, recipe: str) -> list[str]:
    """Return the names of findings that the user accepts and that neither the audit nor the stack has."""
    names = {finding.name for finding in [*audit_findings(run), *stack_findings(run, recipe)]}
    return [name for name in _accept_names(run) if name not in names]


def with_acceptance(run: Run, findings: list[Finding]) -> list[Finding]:
    """Return ``findings``, those that the settings of ``run`` accept as warnings."""
    return accept_findings(findings, _accept_names(run))


def _accept_names(run: Run) -> list[str]:
    return list(read_run_settings(run.folder).get("accept_finding", []))


def _read(path: Path) -> list[Finding]:
    try:
        return [Finding.from_facts(values) for values in read_json(path)["findings"]] if path.is_file() else []
    except (KeyError, TypeError) as error:
        raise InputFault(f"{path}: damaged, its findings lack {error}; {command('stack')} writes it again") from error
