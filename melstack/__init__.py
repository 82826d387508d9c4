"""The product's face: the command, the pages that people read, the bundle that people take away."""

from importlib import import_module
from typing import TYPE_CHECKING

from melstack.extras import missing_extra
from melstack.own_packages import check_own_packages

if TYPE_CHECKING:
    from level2_stack.estimator import NestedStackingClassifier
    from level2_stack.foreign.read import import_predictions
    from melstack.bundle.loading import Bundle

__all__ = ["Bundle", "NestedStackingClassifier", "import_predictions"]
HOMES = {
    "Bundle": "melstack.bundle.loading",
    "NestedStackingClassifier": "level2_stack.estimator",
    "import_predictions": "level2_stack.foreign.read",
}


def __dir__() -> list[str]:
    """Return the names of the library, also before their first use."""
    return [*globals(), *__all__]


def __getattr__(name: str) -> object:
    """Import a name of the library when it is first used: the command line needs none of them."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    check_own_packages()
    try:
        return getattr(import_module(HOMES[name]), name)
    except ModuleNotFoundError as error:
        raise ImportError(missing_extra(error) or str(error)) from error
