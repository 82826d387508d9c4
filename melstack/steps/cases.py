"""Freeze the cases of a run, and look for leaks in it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from features.folder.notes import WARNING
from melstack.options import DEMO, CasesOptions, split_names
from runtime.errors import InputFault
from runtime.invocation import option
from runtime.plural import number_of
from runtime.progress import detail, say, warn

if TYPE_CHECKING:
    from runtime.run_folder import Run


def freeze(source: CasesOptions, names: Collection[str] = (), *, then: Callable[[Run], None] = lambda run: None) -> Run:
    """Freeze the cases of the run unless they are fresh, and return the run; draw the demo first if it is the data.

    The settings of the command, or only ``names``, are then written to the run's run.toml, after ``then``, which checks
    what depends on the cases: a setting that it refuses must not be remembered. If the data folder of a
    frozen run is not there, its cases are used as they are. Raises InputFault if the options name a run that does not
    exist, without a data folder.
    """
    from runtime.run_folder import Run

    run = Run(source.folder)
    if source.run is not None and source.data is None:
        remedy = f"{option('data', 'folder')} names the pictures and CSVs, {option('data', DEMO)} the demo's"
        raise InputFault(f"{source.run}: no such run; to begin one, {remedy}")
    from features.folder.layout import Request
    from features.freeze_cases import freeze_cases

    if source.data_folder.resolve() == DEMO.resolve():
        _draw_demo(source)
    elif not source.data_folder.is_dir() and run.cases_mark.is_file():
        say(f"cases: {source.data_folder} is not there; the frozen cases are used, {run.cases}")
        then(run)
        return run
    extra = tuple(Path(folder) for folder in split_names(source.extra))
    folds = (source.folds, source.official_folds, source.fold_seed, source.folds_by or "", source.folds_by_time or "")
    request = Request(source.data_folder, source.mapping, extra, *folds)
    is_new = freeze_cases(run, request)
    say(f"cases: {'frozen now' if is_new else 'fresh'}, {run.cases}")
    _show_summary(run.facts()["summary"], is_new)
    then(run)
    if source.memory is not None:
        source.memory.save(names)
    return run


def _show_summary(lines: list[str], is_new: bool) -> None:
    """Print what is said about the cases, or only their warnings if the cases were frozen by an earlier command."""
    show = say if is_new else detail
    for line in lines:
        if line.startswith(WARNING):
            warn(line.removeprefix(WARNING))
        else:
            show(f"  {line}")


def _draw_demo(source: CasesOptions) -> None:
    """Draw the demo; one that exists is used as it is, unless the options name another size or seed."""
    numbers = {"train": source.clinic_train, "test": source.clinic_test, "seed": source.clinic_seed}
    requested_numbers = {name: number for name, number in numbers.items() if number is not None}
    if requested_numbers or not (DEMO / "clinic.json").is_file():
        from features.clinic.folder import draw_clinic

        draw_clinic(DEMO, **requested_numbers)


def audit_cases(run: Run, *, print_all: bool = False, is_first: bool = True) -> None:
    """Look for leaks, write leaks.json and print the result; raise InputFault for blocking findings.

    The findings are details, or with ``print_all`` printed. ``is_first``: of this command; only its line is printed.
    """
    from features.leaks.audit import REPORT
    from features.leaks.audit import audit as find_leaks
    from features.leaks.findings import BLOCKING, refuse_findings
    from melstack.all_findings import with_acceptance

    report = find_leaks(run)
    report = replace(report, findings=with_acceptance(run, report.findings))
    for line in report.sentences():
        (say if print_all else detail)(f"audit: {line}")
    if not print_all:
        findings, blocking = len(report.findings), sum(each.severity == BLOCKING for each in report.findings)
        counts = f"{number_of(findings, 'finding')}, {blocking} of them blocking" if findings else "no findings"
        (say if is_first else detail)(f"audit: {counts}; {run.folder / REPORT}")
    refuse_findings(report.findings, str(run.folder))
