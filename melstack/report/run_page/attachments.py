"""Read the files that other commands may have written for the report: explanations and the leak audit."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from features.leaks.findings import Finding
from melstack.all_findings import audit_findings, network_findings, stack_findings
from runtime.errors import InputFault
from runtime.invocation import command
from runtime.run_folder import Run


class Attachment(BaseModel):
    """Base of all attachments; unknown keys are ignored, since other commands may write more than the page shows."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class FamilyShare(Attachment):
    """A family of columns and its share, 0 to 1, of all attributions."""

    name: str
    share: float = Field(ge=0, le=1)


class ColumnWeight(Attachment):
    """A column of the design, its family, and its mean absolute SHAP value in log odds."""

    name: str
    family: str
    mean_abs: float = Field(ge=0)


class Explanations(Attachment):
    """The SHAP summary of the stack with the digest ``stack``: families and columns, the largest first."""

    stack: str = ""
    families: list[FamilyShare]
    columns: list[ColumnWeight]


class AuditInputs(Attachment):
    """What the audit read: ``cases`` is the digest of the case table."""

    cases: str = ""


class AuditScope(Attachment):
    """What the leak audit read, and ``looked_at``, the counts of what it checked."""

    made_from: AuditInputs = AuditInputs()
    looked_at: dict[str, int] = {}


class Audit(AuditScope):
    """The result of the leak audit, with what the import and the stack found later. No findings means no leaks."""

    findings: list[Finding]


Content = TypeVar("Content", bound=BaseModel)


def read_explanations(run: Run, recipe: str) -> Explanations | None:
    """Return level2/<recipe>/explanations.json, None if the file is missing; raise InputFault if it is invalid."""
    summary = read_attachment(run.level2 / recipe / "explanations.json", Explanations, "explain")
    if summary is None:
        return None
    families = sorted(summary.families, key=lambda family: -family.share)
    return Explanations(
        stack=summary.stack, families=families, columns=sorted(summary.columns, key=lambda column: -column.mean_abs)
    )


def read_audit(run: Run, recipe: str) -> Audit | None:
    """Return the run's leaks.json with what the import and the stack of ``recipe`` found after it.

    None if the file is missing, or is of other cases; raises InputFault if it is invalid.
    """
    scope = read_attachment(run.folder / "leaks.json", AuditScope, "audit")
    if scope is None or scope.made_from.cases not in ("", run.cases_digest()):
        return None
    findings = [*audit_findings(run), *network_findings(run), *stack_findings(run, recipe)]
    return Audit(made_from=scope.made_from, looked_at=scope.looked_at, findings=findings)


def read_attachment(path: Path, model: type[Content], verb: str) -> Content | None:
    """Return a JSON file as ``model``, None if it is missing; raise InputFault if its keys or values are invalid.

    ``verb`` is the command that writes the file; the message of the fault names it.
    """
    if not path.is_file():
        return None
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problems = [f"  {'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        remedy = f"{command(verb)} writes it again"
        raise InputFault(f"{path}: the report cannot read this file; {remedy}\n" + "\n".join(problems)) from error
