"""A brought network while it is checked, and the sentences that a doubt about it adds to its findings."""

from dataclasses import dataclass, field

import pandas as pd

from level2_stack.foreign.checks import Findings
from level2_stack.foreign.messages import WARNING
from runtime.invocation import option


@dataclass
class Candidate:
    """A network while it is checked: the contents of its files, and the findings."""

    name: str
    parts: dict[str, pd.DataFrame] = field(default_factory=dict)  # role -> score, fold, views
    findings: Findings = field(default_factory=Findings)
    out_of_range: str = ""  # a phrase if values of test.csv are outside [0, 1], so not on the scale of oof.csv
    files: dict[str, str] = field(default_factory=dict)  # role -> name of its file

    @property
    def is_valid(self) -> bool:
        """Return whether the network has no faults."""
        return not self.findings.faults

    def score(self, role: str) -> pd.Series:
        """Return the scores of the cases of ``role`` ('train' or 'test')."""
        return self.parts[role]["score"]

    def where(self, role: str) -> str:
        """Return the name of the file of ``role``, for messages."""
        return self.files.get(role, {"train": "oof.csv", "test": "test.csv"}[role])


def add_doubt(findings: Findings, sentence: str, is_trusted: bool) -> None:
    """Add ``sentence`` as a fault, or as a warning if the user trusts the network; the fault names the option."""
    if is_trusted:
        findings.notes.append(f"{WARNING}{sentence}; accepted because {option('trust')} names it")
    else:
        findings.faults.append(
            f"{sentence}; if you know that the network is right, accept it with {option('trust', 'name')}"
        )
