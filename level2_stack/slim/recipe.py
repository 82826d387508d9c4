"""Write a recipe with the fewest networks that lose at most a given AUC, and the measured loss."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from level2_stack.design.assemble import Design
from level2_stack.recipe import Recipe, read_recipe
from level2_stack.slim.choose import LEARNER, Names, NetworkChoice, slim
from level2_stack.stacking import read_predictions, unfiltered_design
from runtime.errors import InputFault
from runtime.files import read_json, write_json, write_text
from runtime.invocation import command
from runtime.plural import number_of
from runtime.progress import say
from runtime.provenance import digest_of_code, digest_of_file, is_fresh, write_mark
from runtime.run_folder import Run
from runtime.settings import read_toml, toml_text


def make_slim_recipe(run: Run, recipe_file: Path, max_loss: float, target: Path) -> None:
    """Write to ``target`` the recipe in ``recipe_file`` with as few networks as lose at most ``max_loss`` of AUC.

    slim.json next to it describes the choice and its loss. Does nothing if both files are up to date. Raises InputFault
    if the recipe's stack is not finished.
    """
    mark, decisions = target.with_suffix(".json"), run.level2 / recipe_file.stem / "decisions.json"
    if not decisions.is_file():
        raise InputFault(f"{decisions.parent}: no finished stack; {command('stack')} makes it")
    code = digest_of_code([Path(__file__), Path(__file__).with_name("choose.py")])
    stack = {"decisions": digest_of_file(decisions), "recipe": digest_of_file(recipe_file)}
    made_from = {**stack, "allowed": max_loss, "code": code}
    if is_fresh(mark, made_from, [target, target.with_name("slim.json")]):
        say(f"slim: fresh, {target}")
        return
    recipe, columns = read_recipe(recipe_file), read_json(decisions)["columns"]
    choice = _choose(run, recipe, columns, max_loss)
    _print(choice, max_loss)
    write_json(target.with_name("slim.json"), _facts(choice, max_loss))
    head = [f"{recipe_file.stem} with the fewest networks that lose at most {max_loss:g} of AUC; see slim.json."]
    write_text(target, toml_text({**read_toml(recipe_file), "networks": list(choice.networks)}, head))
    write_mark(mark, made_from, [target, target.with_name("slim.json")])


def _choose(run: Run, recipe: Recipe, columns: Sequence[str], max_loss: float) -> NetworkChoice:
    predictions, cases = read_predictions(run), run.read_cases()
    names = [name.removeprefix("logit.") for name in columns if name.startswith("logit.")]

    def design_of(networks: Names) -> Design:
        """Return the design with only the given ``networks``."""
        design = unfiltered_design(run, recipe.model_copy(update={"networks": list(networks)}), cases, predictions)
        return replace(design, X=design.X[[name for name in design.X if name in set(columns)]])

    say(f"slim: choosing among {len(names)} networks by the AUC of a {LEARNER} on inner folds")
    return slim(names, design_of, recipe, max_loss)


def _facts(choice: NetworkChoice, max_loss: float) -> dict[str, object]:
    return {
        "allowed": max_loss,
        "networks": list(choice.networks),
        "inner_auc": dict(zip(choice.steps.index, choice.steps["auc"].tolist(), strict=True)),
        "inner_auc_of_all": choice.full,
        "chosen_by_fold": [list(networks) for networks in choice.by_fold],
        "nested_loss": dict(zip(("auc", "low", "high"), choice.loss, strict=True)),
    }


def _print(choice: NetworkChoice, max_loss: float) -> None:
    for count, (name, auc) in enumerate(choice.steps["auc"].items(), start=1):
        say(f"  {count}: {name} added, inner AUC {auc:.4f} (all networks: {choice.full:.4f})")
    loss, low, high = choice.loss
    say(
        f"slim: {number_of(len(choice.networks), 'network')} lose at most {max_loss:g} of AUC on inner folds: "
        f"{', '.join(choice.networks)}"
    )
    say(f"  loss of AUC of such a choice, made without the outer fold: {loss:+.4f} [{low:+.4f}, {high:+.4f}] (95 %)")
