"""The backbone families, one module each: a new file in this folder is a new family.

Every family offers ``VARIANTS`` (its networks by name, each with its native ``resolution``) and
``build(variant, *, image_size, weights) -> keras.Model``. The model is flat (no model inside a model),
takes pixels 0 to 255 as (batch, image_size, image_size, 3) float32, prepares them in its own first layer, calls
its last activation map ``top_activation`` and returns the mean of that map, (batch, features).
"""

import importlib
import pkgutil
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from runtime.errors import InputFault, did_you_mean

# Five halvings: below this the last activation map would be a single cell.
SMALLEST_SIZE = 32


def names() -> tuple[str, ...]:
    """Return the families that exist, sorted, without importing them."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def find(name: str) -> ModuleType:
    """Import one family by its module name; an unknown name is an InputFault that says which exist."""
    if name not in names():
        nearest = did_you_mean(name, names())
        raise InputFault(f"unknown backbone {name!r}; {nearest} (there are: {', '.join(names())})")
    return importlib.import_module(f"{__name__}.{name}")


def check_request(variant: str, variants: Mapping[str, object], image_size: int) -> None:
    """Refuse, with an InputFault, an unknown variant or a picture side too small for five halvings."""
    if variant not in variants:
        raise InputFault(f"unknown variant {variant!r}; there are: {', '.join(variants)}")
    if image_size < SMALLEST_SIZE:
        raise InputFault(f"image_size {image_size} is too small; {SMALLEST_SIZE} pixels or more are needed")


def weights_file(weights: str, named: Collection[str]) -> Path | None:
    """Return the Keras weights file that ``weights`` means, or None when it is one of ``named`` or ``"none"``.

    Anything else is an InputFault: a name that does not exist, a file that is missing or is not ``.h5``.
    """
    if weights in {"none", *named}:
        return None
    path = Path(weights)
    if path.suffix != ".h5":
        choices = ", ".join(repr(name) for name in (*named, "none"))
        raise InputFault(f"weights {weights!r} do not exist; there are {choices} or the path of a .weights.h5 file")
    if not path.is_file():
        raise InputFault(f"weights file {path} does not exist")
    return path


def load_file(model: Any, path: Path) -> None:  # noqa: ANN401  a keras.Model; this module stays free of Keras
    """Set every weight of ``model`` from a Keras weights file of the same network, or raise InputFault."""
    try:
        with warnings.catch_warnings():
            # Where a file has other layers, Keras only warns and leaves ours as they were drawn.
            warnings.simplefilter("error", UserWarning)
            model.load_weights(path)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        reason = str(error).partition(". ")[0].partition("\n")[0] or type(error).__name__
        raise InputFault(f"{path}: not the weights of {model.name} ({reason})") from error
