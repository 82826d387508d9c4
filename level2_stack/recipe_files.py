"""Find the file of a recipe by its name, without importing the learners."""

from pathlib import Path

from runtime.errors import InputFault, did_you_mean

CONFIGS = Path(__file__).parent / "configs"


def recipe_file(recipe: str) -> Path:
    """Return the TOML file of ``recipe``: a path to one, or a name in configs; raise InputFault for an unknown name."""
    if recipe.endswith(".toml"):
        return Path(recipe)
    names = sorted(path.stem for path in CONFIGS.glob("*.toml"))
    if recipe not in names:
        raise InputFault(f"recipe {recipe!r} does not exist; {did_you_mean(recipe, names)}")
    return CONFIGS / f"{recipe}.toml"
