"""Whether the packages that melstack is made of are its own, and not the user's of the same name."""

from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("runtime", "features", "level1_cnn", "level2_stack")


def check_own_packages() -> None:
    """Raise ImportError that names the file of the user's which Python finds in place of a package of melstack."""
    home = Path(__file__).resolve().parent.parent
    for name in PACKAGES:
        spec = find_spec(name)
        own = home / name / "__init__.py"
        if spec is not None and spec.origin is not None and Path(spec.origin).resolve() != own:
            raise ImportError(
                f"{spec.origin} hides a package of melstack, {own.parent}: Python imports `{name}` from there; "
                "rename that file or folder, or start Python in another folder"
            )
