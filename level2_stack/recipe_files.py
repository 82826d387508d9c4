"""Which file a recipe's name means, found without importing what a recipe is made of."""

from pathlib import Path

from runtime.errors import InputFault, did_you_mean

CONFIGS = Path(__file__).parent / "configs"


def recipe_file(recipe: str) -> Path:
    """Return the TOML file of ``recipe``: a path, or the name of one in configs; raise InputFault for another name."""
    if recipe.endswith(".toml"):
        return Path(recipe)
    known = sorted(path.stem for path in CONFIGS.glob("*.toml"))
    if recipe not in known:
        raise InputFault(f"recipe {recipe!r} does not exist; {did_you_mean(recipe, known)}")
    return CONFIGS / f"{recipe}.toml"
