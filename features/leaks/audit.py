"""The audit of a run for leaks: everything by which a number could look better than it is, and what is done of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from features.cases.tied_patients import tie_groups
from features.leaks.pairs import read_pairs, relate
from features.leaks.sheet import leak_sheet
from features.leaks.tables import BLOCKING, NOTE, RESOLVED, Finding, case_findings, feature_findings, network_findings
from runtime.errors import InputFault
from runtime.files import read_json
from runtime.provenance import digest_of_code, digest_of_file, is_fresh, write_mark
from runtime.run_folder import Run

REPORT, SHEET = "leaks.json", "leaks.png"
# What becomes of a pair, by its relation: severity, and what is done.
DEALT_WITH = {
    "within train, one fold": (
        RESOLVED,
        "both are in one fold, so neither is validated by a network that saw the other",
    ),
    "across folds": (RESOLVED, "each is left out of the training of the fold that validates the other"),
    "train and test": (RESOLVED, "the training case is left out of all training"),
    "external and validation": (RESOLVED, "the external case is left out of the fold that validates the other"),
    "external and test": (RESOLVED, "the external case is left out of all training"),
    "within test": (NOTE, "nothing; both are predicted"),
    "within external": (NOTE, "nothing; neither is validated"),
}
OWN = "within train, one fold"


@dataclass(frozen=True)
class Audit:
    """What was looked at, what was found, and the pairs of pictures that show the same (``relate``'s columns)."""

    looked_at: dict[str, int]
    findings: list[Finding]
    pairs: pd.DataFrame

    @property
    def blocking(self) -> list[Finding]:
        """The findings for which the run must stop."""
        return [finding for finding in self.findings if finding.severity == BLOCKING]

    def sentences(self) -> list[str]:
        """Return the audit in a few lines."""
        looked = ", ".join(f"{count} {what}" for what, count in self.looked_at.items())
        found = [finding.sentence() for finding in self.findings]
        return [f"looked at {looked}", *(found or ["no leak found"])]

    def facts(self) -> dict[str, Any]:
        """Return the audit as JSON values."""
        pairs = self.pairs.to_dict("records")
        rows = [{str(key): None if pd.isna(value) else value for key, value in pair.items()} for pair in pairs]
        return {"looked_at": self.looked_at, "findings": [one.facts() for one in self.findings], "pairs": rows}


def audit(run: Run) -> Audit:
    """Look for leaks in ``run``, write leaks.json and, where pictures show the same, leaks.png; return the audit.

    Looked at are the case table, the pairs of pictures found when it was frozen, the level-one tables and feature
    blocks as far as they exist. It does not raise for what it finds, see ``refuse_leaks``; an InputFault says that a
    table could not be read.
    """
    mark, made_from = run.folder / REPORT, audit_ingredients(run)
    if is_fresh(mark, made_from):
        return _read(mark)
    cases = run.read_cases()
    pairs = relate(read_pairs(run), cases)
    findings = [*case_findings(cases), *_pair_findings(pairs, cases), *network_findings(run, cases)]
    findings += feature_findings(run, cases)
    pictures = int(cases["picture"].notna().sum()) if "picture" in cases else 0
    blocks = len(list(run.blocks.glob("*.parquet")))
    looked_at = {"cases": len(cases), "pictures": pictures, "networks": len(run.networks()), "feature blocks": blocks}
    done = Audit(looked_at, findings, pairs)
    if pictures and len(pairs):
        data = Path(run.facts()["data"])
        paths = {str(name): data / str(picture) for name, picture in cases["picture"].dropna().items()}
        leak_sheet(pairs, paths, run.folder / SHEET)
    else:
        (run.folder / SHEET).unlink(missing_ok=True)
    sheet = [run.folder / SHEET] if (run.folder / SHEET).is_file() else []
    write_mark(mark, made_from, sheet, **done.facts())
    return done


def audit_ingredients(run: Run) -> dict[str, Any]:
    """Return what an audit is made from: the tables it looks at, and its code."""
    tables = [*run.level1.glob("*/predictions.parquet"), *run.blocks.glob("*.parquet")]
    return {
        "cases": run.cases_digest(),
        "pairs": digest_of_file(run.pairs),
        "tables": {str(path.relative_to(run.folder)): digest_of_file(path) for path in sorted(tables)},
        "code": digest_of_code(Path(__file__).parent.glob("*.py")),
    }


def _read(mark: Path) -> Audit:
    facts = read_json(mark)
    findings = [Finding(**finding) for finding in facts["findings"]]
    return Audit(facts["looked_at"], findings, pd.DataFrame(facts["pairs"]))


def refuse_leaks(audit: Audit, where: str) -> None:
    """Raise InputFault that lists the findings of ``audit`` for which the run ``where`` must stop, if there are any."""
    if audit.blocking:
        lines = "\n".join(f"  - {finding.sentence()}" for finding in audit.blocking)
        raise InputFault(f"{where}: {len(audit.blocking)} leak(s) that nothing mends\n{lines}")


def _pair_findings(pairs: pd.DataFrame, cases: pd.DataFrame) -> Iterator[Finding]:
    """Yield one finding per kind and relation, one of the tied groups, and one of pairs whose labels contradict."""
    for key, part in pairs.groupby(["kind", "relation", "same_patient"], sort=False):
        kind, relation, same = key if isinstance(key, tuple) else (key,)
        severity, done = DEALT_WITH[str(relation)]
        if same and relation == OWN:
            severity, done = NOTE, "nothing; they are of one patient, who is in one fold"
        yield _of_pairs(f"{kind} pairs, {relation}{', of one patient' * bool(same)}", part, severity, done)
    groups = tie_groups(cases, pairs)
    one_fold = [group for group in groups if cases.loc[group, "fold"].nunique() == 1]
    if one_fold:
        names: list[Any] = [list(group) for group in one_fold]
        yield Finding("groups of cases of several patients", len(names), NOTE, "each group is in one fold", names)
    targets = [cases["target"].reindex(pairs[end]).to_numpy() for end in ("first", "second")]
    contradict = pairs[(abs(targets[0] - targets[1]) > 0)]
    if len(contradict):
        yield _of_pairs("pairs with contradicting targets", contradict, NOTE, "look at them; one label is wrong")


def _of_pairs(what: str, pairs: pd.DataFrame, severity: str, done: str) -> Finding:
    names: list[Any] = [
        [str(first), str(second)] for first, second in zip(pairs["first"], pairs["second"], strict=True)
    ]
    return Finding(what, len(names), severity, done, names)
