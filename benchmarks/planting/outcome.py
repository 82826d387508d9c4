"""What a run says of a planted leak, read from the files that it writes and the message that it ends with."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.planting.source import Source
from features.folder.notes import WARNING as NOTE_WARNING
from features.leaks.findings import BLOCKING, WARNING
from melstack.all_findings import audit_findings, network_findings, stack_findings
from runtime.run_folder import Run

RECIPE = Path(__file__).parent / "quick.toml"
REFUSAL = 2  # exit code
SECONDS = 600


@dataclass(frozen=True)
class Outcome:
    """How a command on the tables ended: its exit code, and every warning and every reason of a refusal."""

    code: int
    alarms: list[str]

    def verdict(self, culprits: Collection[str]) -> str:
        """Return named (an alarm names all ``culprits``), refused, warned (of something else) or missed."""
        if any(all(culprit in alarm for culprit in culprits) for alarm in self.alarms):
            return "named"
        return "refused" if self.code == REFUSAL else "warned" if self.alarms else "missed"


def outcome_of(source: Source) -> Outcome:
    """Return what ``melstack stack`` says of ``source``."""
    with tempfile.TemporaryDirectory(prefix="planting-") as folder:
        data, predictions = source.write(Path(folder))
        run = Path(folder) / "run"
        words = ["--data", str(data), "--run", str(run), "--mapping", str(data / "cases.toml")]
        words += ["--foreign", str(predictions), "--recipe", str(RECIPE)]
        command = [sys.executable, "-m", "melstack", "stack", *words]
        result = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        if result.returncode not in (0, REFUSAL):
            raise RuntimeError(f"{' '.join(command)}: exit code {result.returncode}\n{result.stderr[-2000:]}")
        message = [line for line in result.stderr.splitlines() if line.strip()] * (result.returncode == REFUSAL)
        return Outcome(result.returncode, [*_alarms(Run(run)), *message])


def _alarms(run: Run) -> Iterator[str]:
    """Yield the warnings and refusals on ``run``: of the audit, of networks, of the stack, and on the cases."""
    findings = [*audit_findings(run), *network_findings(run), *stack_findings(run, RECIPE.stem)]
    yield from (each.text() for each in findings if each.severity in (BLOCKING, WARNING))
    if run.cases_mark.is_file():
        yield from (note for note in run.facts()["summary"] if note.startswith(NOTE_WARNING))
