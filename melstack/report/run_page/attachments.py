"""What other commands may have left for the report: explanations and the leak audit."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runtime.errors import InputFault
from runtime.run_folder import Run


class Left(BaseModel):
    """Base of what is read: other commands may write more than the page shows."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Family(Left):
    """A family of columns and its share, 0 to 1, of all attributions."""

    name: str
    share: float = Field(ge=0, le=1)


class Column(Left):
    """A column of the design, its family, and the mean absolute SHAP value of it in log odds."""

    name: str
    family: str
    mean_abs: float = Field(ge=0)


class Explanations(Left):
    """The SHAP summary of a stack, families and columns from the most to the least."""

    families: list[Family]
    columns: list[Column]


class Finding(Left):
    """One finding of the leak audit: what, how many, whom, how grave, what was done about it."""

    what: str
    count: int = Field(ge=0)
    names: list[str | list[str]] = []
    severity: str = ""
    done: str = ""

    def named(self) -> list[str]:
        """Return the names, pairs and groups as one text each."""
        return [name if isinstance(name, str) else " = ".join(name) for name in self.names]


class Audit(Left):
    """What the leak audit found; no finding is good news."""

    findings: list[Finding]
    looked_at: dict[str, int] = {}


Content = TypeVar("Content", bound=BaseModel)


def read_explanations(run: Run, recipe: str) -> Explanations | None:
    """Return level2/<recipe>/explanations.json, or None where there is none; raise InputFault for another shape."""
    found = read_left(run.level2 / recipe / "explanations.json", Explanations)
    if found is None:
        return None
    families = sorted(found.families, key=lambda family: -family.share)
    return Explanations(families=families, columns=sorted(found.columns, key=lambda column: -column.mean_abs))


def read_audit(run: Run) -> Audit | None:
    """Return leaks.json of the run, or None where there is none; raise InputFault for another shape."""
    return read_left(run.folder / "leaks.json", Audit)


def read_left(path: Path, model: type[Content]) -> Content | None:
    """Return a JSON file as ``model``, or None where it is not there; raise InputFault for another shape."""
    if not path.is_file():
        return None
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problems = [f"  {'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        raise InputFault(f"{path}: not of the shape that the report reads\n" + "\n".join(problems)) from error
