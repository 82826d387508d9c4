"""A recipe with the fewest networks within a loss of AUC, written beside what it cost to choose them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from level2_stack.design.assemble import Design
from level2_stack.recipe import Recipe, read_recipe
from level2_stack.slim.choose import LEARNER, Names, NetworkChoice, slim
from level2_stack.stacking import read_predictions, unfiltered_design
from runtime.errors import InputFault
from runtime.files import read_json, write_json, write_text
from runtime.progress import say
from runtime.provenance import digest_of_code, digest_of_file, is_fresh, write_mark
from runtime.run_folder import Run
from runtime.settings import read_toml, toml_text


def make_slim_recipe(run: Run, recipe_file: Path, allowed: float, made: Path) -> None:
    """Write the recipe in ``recipe_file`` with as few networks as lose at most ``allowed`` of AUC to ``made``.

    Beside it slim.json says how they were chosen, and what choosing so costs. Nothing is done where both are there,
    made from the same stack. Raises InputFault where the recipe's stack is not finished.
    """
    mark, decisions = made.with_suffix(".json"), run.level2 / recipe_file.stem / "decisions.json"
    if not decisions.is_file():
        raise InputFault(f"{decisions.parent}: no finished stack; `make stack` makes it")
    code = digest_of_code([Path(__file__), Path(__file__).with_name("choose.py")])
    stack = {"decisions": digest_of_file(decisions), "recipe": digest_of_file(recipe_file)}
    made_from = {**stack, "allowed": allowed, "code": code}
    if is_fresh(mark, made_from, [made, made.with_name("slim.json")]):
        say(f"slim: fresh, {made}")
        return
    recipe, columns = read_recipe(recipe_file), read_json(decisions)["columns"]
    found = _slimmed(run, recipe, columns, allowed)
    _say(found, allowed)
    write_json(made.with_name("slim.json"), _told(found, allowed))
    head = [f"{recipe_file.stem} with the fewest networks that lose at most {allowed:g} of AUC; slim.json says how."]
    write_text(made, toml_text({**read_toml(recipe_file), "networks": list(found.networks)}, head))
    write_mark(mark, made_from, [made, made.with_name("slim.json")])


def _slimmed(run: Run, recipe: Recipe, columns: Sequence[str], allowed: float) -> NetworkChoice:
    predictions, cases = read_predictions(run), run.read_cases()
    names = [name.removeprefix("logit.") for name in columns if name.startswith("logit.")]

    def design_of(some: Names) -> Design:
        design = unfiltered_design(run, recipe.model_copy(update={"networks": list(some)}), cases, predictions)
        return replace(design, X=design.X[[name for name in design.X if name in set(columns)]])

    say(f"slim: choosing among {len(names)} networks by a {LEARNER} on inner folds")
    return slim(names, design_of, recipe, allowed)


def _told(found: NetworkChoice, allowed: float) -> dict[str, object]:
    return {
        "allowed": allowed,
        "networks": list(found.networks),
        "inner_auc": dict(zip(found.steps.index, found.steps["auc"].tolist(), strict=True)),
        "inner_auc_of_all": found.full,
        "chosen_by_fold": [list(some) for some in found.by_fold],
        "nested_loss": dict(zip(("auc", "low", "high"), found.loss, strict=True)),
    }


def _say(found: NetworkChoice, allowed: float) -> None:
    for count, (name, reached) in enumerate(found.steps["auc"].items(), start=1):
        say(f"  {count}: + {name}, inner AUC {reached:.4f}, {found.full - reached:+.4f} to all")
    loss, low, high = found.loss
    say(f"slim: {len(found.networks)} networks are within {allowed:g} of all ({', '.join(found.networks)})")
    say(f"  chosen so without an outer fold, and judged on it: {loss:+.4f} [{low:+.4f}, {high:+.4f}] of AUC lost")
