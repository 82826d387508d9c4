"""What the tables of level two are made from: a finished one is seen in a second, without importing the learners."""

from pathlib import Path
from typing import Any

from runtime.files import read_json
from runtime.provenance import differences, digest_of_code, digest_of_file
from runtime.run_folder import Run
from runtime.settings import read_toml

# Where the code stands that decides what a stack is.
ROOMS = ("", "foreign/", "design/", "learners/", "crossval/", "calibration/", "evaluation/", "results/")
OUTPUTS = ("learners.parquet", "predictions.parquet", "leaderboard.csv", "decisions.json")  # of a stack


def submission_ingredients(run: Run, recipe: str) -> dict[str, Any]:
    """Return what submission.csv is made from: the probabilities of the stack of ``recipe``, and the code."""
    predictions = run.level2 / recipe / "predictions.parquet"
    code = [Path(__file__).parent / name for name in ("submission.py", "evaluation/known_truth.py")]
    return {"recipe": recipe, "predictions": digest_of_file(predictions), "code": digest_of_code(code)}


def explanation_ingredients(folder: Path) -> dict[str, Any]:
    """Return what the explanations of the stack in ``folder`` are made from: its decisions and scores, and the code."""
    inputs, code = [folder / name for name in ("decisions.json", "predictions.parquet")], Path(__file__).parent
    return {
        "stack": {path.name: digest_of_file(path) for path in inputs},
        "code": digest_of_code([*code.glob("explain/*.py"), *code.glob("learners/*.py")]),
    }


def stack_ingredients(run: Run, recipe: Path, prevalence: float | None = None) -> dict[str, Any]:
    """Return what a stack is made of, for probabilities at ``prevalence`` where it is asked for."""
    tables = [*run.level1.glob("*/predictions.parquet"), *run.blocks.glob("*.parquet")]
    code = Path(__file__).parent
    return {
        "recipe": read_toml(recipe),
        "cases": run.cases_digest(),
        "tables": {str(path.relative_to(run.folder)): digest_of_file(path) for path in sorted(tables)},
        "code": digest_of_code(path for room in ROOMS for path in code.glob(f"{room}*.py")),
    } | ({} if prevalence is None else {"prevalence": prevalence})


def changed_since(run: Run, recipe: Path) -> list[str]:
    """Return ``key: then -> now`` for what became other since the stack was made; empty where there is no stack."""
    mark = run.level2 / recipe.stem / "run.json"
    if not mark.is_file():
        return []
    return differences(mark, stack_ingredients(run, recipe, read_json(mark)["made_from"].get("prevalence")))
