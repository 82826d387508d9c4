"""Audit a run for leaks: everything that could make a score too good, and the action taken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from features.cases.tied_patients import tied_case_groups
from features.leaks.findings import NOTE, RESOLVED_LEAK, Finding
from features.leaks.pairs import add_relations, read_pairs
from features.leaks.sheet import leak_sheet
from features.leaks.tables import case_findings, feature_findings, network_findings
from runtime.files import read_json
from runtime.plural import number_of
from runtime.provenance import digest_of_code, digest_of_file, is_fresh, write_mark
from runtime.run_folder import Run

REPORT, SHEET = "leaks.json", "leaks.png"
# Relation of a pair -> severity, and the action taken.
ACTIONS = {
    "within train, one fold": (
        RESOLVED_LEAK,
        "both are in one fold, so neither is validated by a network that saw the other",
    ),
    "across folds": (RESOLVED_LEAK, "each is left out of the training of the fold that validates the other"),
    "train and test": (RESOLVED_LEAK, "the training case is left out of all training"),
    "external and validation": (RESOLVED_LEAK, "the external case is left out of the fold that validates the other"),
    "external and test": (RESOLVED_LEAK, "the external case is left out of all training"),
    "within test": (NOTE, "no action; both are predicted"),
    "within external": (NOTE, "no action; neither is validated"),
}
ONE_FOLD = "within train, one fold"


@dataclass(frozen=True)
class Audit:
    """The ``counts`` of checked items by kind, the findings, and the table that ``add_relations`` returned."""

    counts: dict[str, int]
    findings: list[Finding]
    pairs: pd.DataFrame

    def sentences(self) -> list[str]:
        """Return one line on the checked items, then a line per finding."""
        counts = ", ".join(number_of(count, what.removesuffix("s")) for what, count in self.counts.items())
        sentences = [finding.sentence() for finding in self.findings]
        return [f"checked {counts}", *(sentences or ["no leak found"])]

    def facts(self) -> dict[str, Any]:
        """Return the audit as JSON values."""
        pairs = self.pairs.to_dict("records")
        rows = [{str(key): None if pd.isna(value) else value for key, value in pair.items()} for pair in pairs]
        return {"looked_at": self.counts, "findings": [finding.facts() for finding in self.findings], "pairs": rows}


def audit(run: Run) -> Audit:
    """Look for leaks in ``run``, write leaks.json and, if there are pairs of pictures, leaks.png; return the audit.

    The audit checks the case table, the pairs of pictures found when it was frozen, and the level-one tables and
    feature blocks that exist. Findings raise no error here but in ``refuse_findings``; unreadable tables raise
    InputFault.
    """
    mark, made_from = run.folder / REPORT, audit_ingredients(run)
    if is_fresh(mark, made_from):
        return _read(mark)
    cases = run.read_cases()
    pairs = add_relations(read_pairs(run), cases)
    findings = [*case_findings(cases), *_pair_findings(pairs, cases), *network_findings(run, cases)]
    findings += feature_findings(run, cases)
    pictures = int(cases["picture"].notna().sum()) if "picture" in cases else 0
    blocks = len(list(run.blocks.glob("*.parquet")))
    counts = {"cases": len(cases), "pictures": pictures, "networks": len(run.networks()), "feature blocks": blocks}
    result = Audit(counts, findings, pairs)
    if pictures and len(pairs):
        data = Path(run.facts()["data"])
        paths = {str(name): data / str(picture) for name, picture in cases["picture"].dropna().items()}
        leak_sheet(pairs, paths, run.folder / SHEET)
    else:
        (run.folder / SHEET).unlink(missing_ok=True)
    sheet = [run.folder / SHEET] if (run.folder / SHEET).is_file() else []
    write_mark(mark, made_from, sheet, **result.facts())
    return result


def audit_ingredients(run: Run) -> dict[str, Any]:
    """Return what an audit is made from: the digests of the tables it checks and of its code."""
    tables = [*run.level1.glob("*/predictions.parquet"), *run.blocks.glob("*.parquet")]
    return {
        "cases": run.cases_digest(),
        "pairs": digest_of_file(run.pairs),
        "tables": {str(path.relative_to(run.folder)): digest_of_file(path) for path in sorted(tables)},
        "code": digest_of_code(Path(__file__).parent.glob("*.py")),
    }


def _read(mark: Path) -> Audit:
    facts = read_json(mark)
    findings = [Finding.from_facts(values) for values in facts["findings"]]
    return Audit(facts["looked_at"], findings, pd.DataFrame(facts["pairs"]))


def _pair_findings(pairs: pd.DataFrame, cases: pd.DataFrame) -> Iterator[Finding]:
    """Yield one finding per kind and relation, one for the tied groups, and one for pairs with different labels."""
    for key, part in pairs.groupby(["kind", "relation", "same_patient"], sort=False):
        kind, relation, is_one_patient = key if isinstance(key, tuple) else (key,)
        severity, action = ACTIONS[str(relation)]
        if is_one_patient and relation == ONE_FOLD:
            severity, action = NOTE, "no action; they belong to one patient, who is in one fold"
        yield _pair_finding(
            f"{kind} pairs, {relation}{', of one patient' * bool(is_one_patient)}", part, severity, action
        )
    tied_groups = tied_case_groups(cases, pairs)
    in_one_fold = [group for group in tied_groups if cases.loc[group, "fold"].nunique() == 1]
    if in_one_fold:
        names: list[Any] = [list(group) for group in in_one_fold]
        yield Finding("groups of cases of several patients", len(names), NOTE, "each group is in one fold", names)
    targets = [cases["target"].reindex(pairs[end]).to_numpy() for end in ("first", "second")]
    contradictions = pairs[(abs(targets[0] - targets[1]) > 0)]
    if len(contradictions):
        yield _pair_finding("pairs with different targets", contradictions, NOTE, "check them; one label is wrong")


def _pair_finding(what: str, pairs: pd.DataFrame, severity: str, action: str) -> Finding:
    names: list[Any] = [
        [str(first), str(second)] for first, second in zip(pairs["first"], pairs["second"], strict=True)
    ]
    return Finding(what, len(names), severity, action, names)
