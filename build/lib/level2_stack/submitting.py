"""From a finished stack to submission.csv."""

from pathlib import Path

from features.faults import InputFault
from features.files import read_json
from features.progress import say
from features.runs import Run
from features.tables import read_table
from level2_stack.submission import read_sample, write_submission
from level2_stack.truth import say_reached


def make_submission(run: Run, recipe_file: Path) -> None:
    """Write the run's submission.csv from the stack of ``recipe_file``; raise InputFault when there is no test case."""
    cases = run.read_cases()
    if not (cases["role"] == "test").any():
        raise InputFault(f"{run.folder}: there are no test cases to submit")
    folder = run.level2 / recipe_file.stem
    data, sample = Path(run.facts()["data"]), run.facts()["sample"]
    probability = read_table(folder / "predictions.parquet")["probability"]
    write_submission(run.submission, probability, read_sample(data / sample) if sample else None, cases)
    submitted = read_json(folder / "decisions.json")["submitted"]
    say(f"submission: {run.submission}, by {submitted} of recipe {recipe_file.stem}")
    say_reached(run, folder, cases, "test")
