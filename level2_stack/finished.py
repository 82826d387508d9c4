"""List what level two's tables depend on, without importing the learners: checking a finished stack takes a second."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runtime.files import read_json
from runtime.provenance import differences, digest_of_code, digest_of_file
from runtime.run_folder import Run
from runtime.settings import read_toml

# Folders of the code that a stack's tables depend on.
CODE_FOLDERS = (
    "",
    "foreign/",
    "design/",
    "learners/",
    "crossval/",
    "calibration/",
    "evaluation/",
    "thresholds/",
    "results/",
)
OUTPUTS = (
    "learners.parquet",
    "predictions.parquet",
    "leaderboard.csv",
    "decisions.json",
    "findings.json",
    "thresholds.json",
)  # of a stack


def stack_digest(folder: Path) -> str:
    """Return the digest of the finished stack in ``folder``, by which pages, galleries and the history name it.

    It is that of the stack's probabilities: a stack that is made again to the same bytes has the same digest.
    """
    return digest_of_file(folder / "predictions.parquet")


def networks_of_stack(folder: Path) -> list[str]:
    """Return the sorted names of the networks that the finished stack in ``folder`` combines."""
    with (folder / "leaderboard.csv").open(encoding="utf-8", newline="") as stream:
        return sorted(row["name"] for row in csv.DictReader(stream) if row["kind"] == "network")


def submission_ingredients(run: Run, recipe: str) -> dict[str, Any]:
    """Return what submission.csv depends on: the probabilities of the stack of ``recipe``, and the code."""
    code = [Path(__file__).parent / name for name in ("submission.py", "evaluation/known_truth.py")]
    return {"recipe": recipe, "predictions": stack_digest(run.level2 / recipe), "code": digest_of_code(code)}


def explanation_ingredients(folder: Path) -> dict[str, Any]:
    """Return what the explanations of the stack in ``folder`` depend on: its decisions and scores, and the code."""
    inputs, code = [folder / name for name in ("decisions.json", "predictions.parquet")], Path(__file__).parent
    return {
        "stack": {path.name: digest_of_file(path) for path in inputs},
        "code": digest_of_code([*code.glob("explain/*.py"), *code.glob("learners/*.py")]),
    }


def stack_ingredients(
    run: Run, recipe: Path, prevalence: float | None = None, networks: Sequence[str] | None = None
) -> dict[str, Any]:
    """Return what a stack depends on: recipe, cases, tables, code and, unless they are None, the other arguments.

    ``networks`` are the only ones of the run that the recipe may use; None: all.
    """
    names = run.networks() if networks is None else networks
    level_one = [path for name in names if (path := run.level1 / name / "predictions.parquet").is_file()]
    tables, code = [*level_one, *run.blocks.glob("*.parquet")], Path(__file__).parent
    restrictions = {"prevalence": prevalence, "networks": None if networks is None else sorted(networks)}
    return {
        "recipe": read_toml(recipe),
        "cases": run.cases_digest(),
        "tables": {str(path.relative_to(run.folder)): digest_of_file(path) for path in sorted(tables)},
        "code": digest_of_code(path for name in CODE_FOLDERS for path in code.glob(f"{name}*.py")),
    } | {name: value for name, value in restrictions.items() if value is not None}


def current_ingredients(run: Run, mark: Path, recipe: Path) -> dict[str, Any]:
    """Return what the finished stack of ``mark`` depends on, as it is now, with its own prevalence and networks."""
    made_from = read_json(mark)["made_from"]
    return stack_ingredients(run, recipe, made_from.get("prevalence"), made_from.get("networks"))


def changed_since(run: Run, recipe: Path) -> list[str]:
    """Return ``key: old -> new`` for every input that changed since the stack was made; empty without a stack."""
    mark = run.level2 / recipe.stem / "run.json"
    if not mark.is_file():
        return []
    return differences(mark, current_ingredients(run, mark, recipe))
