"""One level-two recipe over a run: join, cross-validate, write predictions and leaderboard."""

from pathlib import Path

import pandas as pd

from features import blocks
from features.faults import InputFault
from features.files import write_text
from features.progress import progress_bar, say
from features.runs import Run
from features.tables import read_table, write_table
from level2_stack.assemble import Design, assemble
from level2_stack.crossval import StackResult, cross_validate, number_of_fits
from level2_stack.leaderboard import leaderboard, print_leaderboard
from level2_stack.recipe import Recipe, read_recipe
from level2_stack.truth import reached


def make_stack(run: Run, recipe_file: Path, folder: Path) -> None:
    """Write ``folder``/predictions.parquet, learners.parquet and leaderboard.csv, and print the leaderboard.

    predictions.parquet has the shape of a level-one table: probability of what the recipe submits, spread (standard
    deviation over the blended learners), fold. learners.parquet has one column per learner and "blend".
    """
    recipe = read_recipe(recipe_file)
    cases, predictions = run.read_cases(), read_predictions(run)
    design = _design(run, recipe, cases, predictions)
    result = _cross_validate(design, recipe)
    board = leaderboard(design, predictions, result)
    write_table(folder / "learners.parquet", result.probability)
    write_table(folder / "predictions.parquet", _predictions(result, recipe, cases))
    write_text(folder / "leaderboard.csv", board.to_csv())
    print_leaderboard(board)
    for learner, weights in result.weights.items():
        say(f"weights of {learner}: " + ", ".join(f"{name} {weight:.2f}" for name, weight in weights.items()))
    say_reached(run, folder, recipe, cases, "train")


def say_reached(run: Run, folder: Path, recipe: Recipe, cases: pd.DataFrame, role: str) -> None:
    """Say how far the finished stack in ``folder`` gets on the rows of ``role``, where somebody knows the truth.

    Beside what the recipe submits stand the rank mean and the network that is best out of fold.
    """
    learners = read_table(folder / "learners.parquet")
    board = pd.read_csv(folder / "leaderboard.csv", index_col="name")
    best = str(board.index[board["kind"] == "network"][0])
    chosen = dict.fromkeys([recipe.submit, *({"rank_mean"} & set(learners.columns))])
    network = read_table(run.level1 / best / "predictions.parquet")["probability"]
    scores = {name: learners[name] for name in chosen} | {best: network}
    for sentence in reached(Path(run.facts()["data"]), cases, scores, recipe.submit, role):
        say(f"  {sentence}")


def read_predictions(run: Run) -> dict[str, pd.DataFrame]:
    """Return the level-one tables of a run by network; raise InputFault when it has none."""
    networks = run.networks()
    if not networks:
        raise InputFault(
            f"{run.folder}: there are no level-one predictions to stack; "
            "`make oof` makes them from pictures, FOREIGN=folder brings other networks'"
        )
    return {name: read_table(run.level1 / name / "predictions.parquet") for name in networks}


def _design(run: Run, recipe: Recipe, cases: pd.DataFrame, predictions: dict[str, pd.DataFrame]) -> Design:
    paths = {name: run.blocks / f"{name}.parquet" for name in recipe.blocks}
    tables = {name: read_table(path) for name, path in paths.items() if path.is_file()}
    acquisition = {name: blocks.find(name).ACQUISITION for name in tables}
    design = assemble(cases, predictions, tables, recipe, acquisition)
    left_out = f"; without blocks {', '.join(design.absent)}" if design.absent else ""
    kept = "with" if recipe.acquisition else "without"
    say(
        f"level two: {design.X.shape[1]} columns from {len(design.networks)} networks and {len(tables)} blocks, "
        f"{kept} acquisition columns{left_out}"
    )
    return design


def _cross_validate(design: Design, recipe: Recipe) -> StackResult:
    with progress_bar("level two: fitting", number_of_fits(design, recipe), unit="fits") as advance:
        return cross_validate(design, recipe, lambda learner, seed, fold: advance(1))


def _predictions(result: StackResult, recipe: Recipe, cases: pd.DataFrame) -> pd.DataFrame:
    columns = {
        "probability": result.probability[recipe.submit],
        "spread": result.probability[recipe.blend].std(axis=1, ddof=0),
        "fold": cases["fold"].reindex(result.probability.index).astype("int8"),
    }
    return pd.DataFrame(columns)
