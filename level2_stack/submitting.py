"""From a finished stack to submission.csv."""

from pathlib import Path

from features.faults import InputFault
from features.progress import say
from features.runs import Run
from features.tables import read_table
from level2_stack.recipe import read_recipe
from level2_stack.stacking import say_reached
from level2_stack.submission import read_sample, write_submission


def make_submission(run: Run, recipe_file: Path) -> None:
    """Write the run's submission.csv from the stack of ``recipe_file``; raise InputFault when there is no test case."""
    cases, recipe = run.read_cases(), read_recipe(recipe_file)
    if not (cases["role"] == "test").any():
        raise InputFault(f"{run.folder}: there are no test cases to submit")
    folder = run.level2 / recipe_file.stem
    data, sample = Path(run.facts()["data"]), run.facts()["sample"]
    probability = read_table(folder / "predictions.parquet")["probability"]
    write_submission(run.submission, probability, read_sample(data / sample) if sample else None, cases)
    say(f"submission: {run.submission}, by {recipe.submit} of recipe {recipe_file.stem}")
    say_reached(run, folder, recipe, cases, "test")
