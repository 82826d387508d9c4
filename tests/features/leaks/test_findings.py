"""Findings of the leak audit that a user accepts, and those that stop a run."""

import pytest

from features.leaks.findings import BLOCKING, NOTE, WARNING, Finding, accept_findings, refuse_findings
from runtime.errors import InputFault

LEAK = Finding("columns", 1, BLOCKING, "remove it; the run stops", ["age"], "column-age")
NAMELESS = Finding("patients in both train and test", 1, BLOCKING, "remove them; the run stops", ["p"])


def test_a_finding_that_the_user_accepts_becomes_a_warning_that_says_so() -> None:
    (finding,) = accept_findings([LEAK], ["column-age"])
    assert (finding.severity, finding.action) == (WARNING, "remove it; accepted by the user")
    refuse_findings([finding], "run")


def test_a_finding_of_another_name_or_without_a_name_still_stops_the_run() -> None:
    for names in (["column-sex"], [""]):
        findings = accept_findings([LEAK, NAMELESS], names)
        with pytest.raises(InputFault, match="2 blocking findings"):
            refuse_findings(findings, "run")


def test_the_refusal_names_the_option_that_accepts_the_finding() -> None:
    with pytest.raises(InputFault, match="--accept-finding column-age"):
        refuse_findings([LEAK], "run")
    with pytest.raises(InputFault) as error:
        refuse_findings([NAMELESS], "run")
    assert "accept" not in str(error.value)


def test_notes_and_warnings_stop_nothing_and_facts_survive_a_round_trip() -> None:
    note = Finding("networks with other folds", 1, NOTE, "no action", [["a", "b"]])
    refuse_findings([note], "run")
    assert Finding.from_facts(LEAK.facts()) == LEAK
