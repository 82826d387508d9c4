"""Commands of level two: stack a run's predictions, and write its submission."""

from pathlib import Path
from typing import Annotated, Any

import typer

from features.__main__ import RunFolder, run_app
from features.computing import compute_blocks
from features.faults import InputFault, did_you_mean
from features.progress import say
from features.provenance import digest_of_code, digest_of_file, finish, is_fresh
from features.runs import Run
from features.settings import read_toml
from level2_stack.importing import bring_foreign

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
RecipeName = Annotated[str, typer.Option(help="a name in level2_stack/configs, or a TOML file")]
ForeignFolder = Annotated[Path | None, typer.Option(help="<network>/oof.csv and test.csv of other networks")]
TrustedNames = Annotated[str, typer.Option(help="foreign networks to admit although nothing confirms their test rows")]
CONFIGS = Path(__file__).parent / "configs"
Prevalence = Annotated[
    float | None, typer.Option(help="share of malignant pictures where the probabilities will be used")
]
OUTPUTS = ("learners.parquet", "predictions.parquet", "leaderboard.csv", "decisions.json")


@app.command()
def stack(
    run: RunFolder,
    recipe: RecipeName = "default",
    foreign: ForeignFolder = None,
    trust: TrustedNames = "",
    prevalence: Prevalence = None,
) -> None:
    """Compute the feature blocks, import foreign networks, and cross-validate every learner of the recipe."""
    place, file = Run(run), _recipe_file(recipe)
    if foreign is not None:
        bring_foreign(place, foreign, trust.split())
    elif trust:
        raise InputFault(f"trust = {trust!r} has no effect without a folder of foreign predictions")
    compute_blocks(place)
    folder = place.level2 / file.stem
    made_from = _ingredients(place, file) | ({} if prevalence is None else {"prevalence": prevalence})
    if is_fresh(folder / "run.json", made_from, [folder / name for name in OUTPUTS]):
        say(f"level two: {file.stem}: fresh, {folder / 'leaderboard.csv'}")
        return
    from level2_stack.stacking import make_stack

    make_stack(place, file, folder, prevalence)
    finish(folder / "run.json", made_from)


@app.command()
def submission(
    run: RunFolder,
    recipe: RecipeName = "default",
    foreign: ForeignFolder = None,
    trust: TrustedNames = "",
    prevalence: Prevalence = None,
) -> None:
    """Stack, then write submission.csv: checked, in the sample's order."""
    stack(run, recipe, foreign, trust, prevalence)
    place = Run(run)
    file = _recipe_file(recipe)
    predictions = place.level2 / file.stem / "predictions.parquet"
    code = [Path(__file__).with_name(name) for name in ("submitting.py", "submission.py", "truth.py")]
    made_from = {"recipe": file.stem, "predictions": digest_of_file(predictions), "code": digest_of_code(code)}
    # The mark stands beside the file, which all recipes share: another recipe's submission is not this one's.
    mark = place.submission.with_suffix(".json")
    if is_fresh(mark, made_from, [place.submission]):
        say(f"submission: fresh, {place.submission}")
        return
    from level2_stack.submitting import make_submission

    make_submission(place, file)
    finish(mark, made_from)


def _recipe_file(recipe: str) -> Path:
    if recipe.endswith(".toml"):
        return Path(recipe)
    known = sorted(path.stem for path in CONFIGS.glob("*.toml"))
    if recipe not in known:
        raise InputFault(f"recipe {recipe!r} does not exist; {did_you_mean(recipe, known)}")
    return CONFIGS / f"{recipe}.toml"


def _ingredients(run: Run, recipe: Path) -> dict[str, Any]:
    """Return what a stack is made of, without importing the learners: a fresh one is seen in a second."""
    tables = [*run.level1.glob("*/predictions.parquet"), *run.blocks.glob("*.parquet")]
    code = Path(__file__).parent
    return {
        "recipe": read_toml(recipe),
        "cases": run.cases_digest(),
        "tables": {str(path.relative_to(run.folder)): digest_of_file(path) for path in sorted(tables)},
        "code": digest_of_code([*code.glob("*.py"), *code.glob("learners/*.py")]),
    }


if __name__ == "__main__":
    run_app(app)
