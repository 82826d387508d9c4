"""Level-two learners: one per file, found by the file's name; a learner gets training rows only."""

import pkgutil
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import cast

from level2_stack.learner_contract import Learner
from runtime.errors import InputFault, did_you_mean


def names() -> list[str]:
    """Return the names of all learners, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


@lru_cache
def find(name: str) -> Learner:
    """Return the learner called ``name``; raise InputFault with the most similar name if it does not exist."""
    if name not in names():
        raise InputFault(f"no learner {name!r} in level2_stack/learners; {did_you_mean(name, names())}")
    return cast(Learner, import_module(f"{__name__}.{name}"))


def is_installed(name: str) -> bool:
    """Return whether the library of learner ``name`` is installed; only optional extras (``EXTRA``) may be missing."""
    extra = getattr(find(name), "EXTRA", None)
    return extra is None or find_spec(extra) is not None
