"""Check that Python imports melstack's own packages, and not a user's package or file of the same name."""

from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("runtime", "features", "level1_cnn", "level2_stack")


def check_own_packages() -> None:
    """Raise ImportError if Python finds a user's file instead of a package of melstack; the message names the file."""
    home = Path(__file__).resolve().parent.parent
    for name in PACKAGES:
        spec = find_spec(name)
        own = home / name / "__init__.py"
        if spec is not None and spec.origin is not None and Path(spec.origin).resolve() != own:
            raise ImportError(
                f"{spec.origin} hides a package of melstack, {own.parent}: Python imports `{name}` from there; "
                "rename that file or folder, or start Python in another folder"
            )
