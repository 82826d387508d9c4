"""The backbone families, one module each; to add a family, add a file to this folder.

Every family has ``VARIANTS`` (its networks by name, each with its native ``resolution`` in pixels) and
``build(variant, *, image_size, weights) -> keras.Model``. The model is flat (it contains no other model). It takes
pixels 0 to 255 as (batch, image_size, image_size, 3) float32 and scales them in its first layer. Its last activation
map is named ``top_activation``, and its output is the mean of that map, (batch, features).
"""

import importlib
import pkgutil
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from runtime.errors import InputFault, did_you_mean

# A backbone halves the side five times, so that 32 px give a last activation map of a single cell.
SMALLEST_SIZE = 32
# Pixels 0 to 255 times the scale plus the offset have, per channel, mean 0 and standard deviation 1 over ImageNet: as
# the networks that name these figures were trained.
_IMAGENET = ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))  # mean and standard deviation of pixels 0 to 1
IMAGENET_SCALE = [1 / (255 * std) for _, std in _IMAGENET]
IMAGENET_OFFSET = [-mean / std for mean, std in _IMAGENET]


def names() -> tuple[str, ...]:
    """Return the names of all families, sorted, without importing them."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def find(name: str) -> ModuleType:
    """Import one family by its module name; for an unknown name, raise an InputFault that lists all families."""
    if name not in names():
        hint = did_you_mean(name, names())
        raise InputFault(f"unknown backbone {name!r}; {hint} (all backbones: {', '.join(names())})")
    return importlib.import_module(f"{__name__}.{name}")


def check_request(variant: str, variants: Mapping[str, object], image_size: int) -> None:
    """Raise InputFault for an unknown variant or a picture side below SMALLEST_SIZE."""
    if variant not in variants:
        raise InputFault(f"unknown variant {variant!r}; use one of: {', '.join(variants)}")
    if image_size < SMALLEST_SIZE:
        raise InputFault(f"image_size = {image_size} is too small; use {SMALLEST_SIZE} pixels or more")


def weights_file(weights: str, keywords: Collection[str]) -> Path | None:
    """Return ``weights`` as the path of a Keras weights file, or None when it is one of ``keywords`` or ``"none"``.

    Raises InputFault for an unknown keyword, and for a file that is missing or does not end in ``.h5``.
    """
    if weights in {"none", *keywords}:
        return None
    path = Path(weights)
    if path.suffix != ".h5":
        choices = ", ".join(repr(name) for name in (*keywords, "none"))
        raise InputFault(f"weights = {weights!r} is unknown; use {choices} or the path of a .weights.h5 file")
    if not path.is_file():
        raise InputFault(f"{path}: no such weights file; give the path of an existing .weights.h5 file")
    return path


def load_file(model: Any, path: Path) -> None:  # noqa: ANN401  a keras.Model; this module stays free of Keras
    """Set every weight of ``model`` from a Keras weights file of the same network, or raise InputFault."""
    try:
        with warnings.catch_warnings():
            # When a file has other layers, Keras only warns and keeps the random weights of our layers.
            warnings.simplefilter("error", UserWarning)
            model.load_weights(path)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        reason = str(error).partition(". ")[0].partition("\n")[0] or type(error).__name__
        raise InputFault(
            f"{path}: not the weights of {model.name} ({reason}); use a file saved from the same variant"
        ) from error
