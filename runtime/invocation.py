"""How the user called this command, by `make` or as `melstack`: messages name other commands in the same form."""

import os
import shlex

TYPED_BY = "MELSTACK_TYPED_BY"  # in the environment; the Makefile sets it to "make"


def by_make() -> bool:
    """Return whether the Makefile called this command."""
    return os.environ.get(TYPED_BY) == "make"


def option(name: str, value: object = "") -> str:
    """Return an option as the user would type it: ``RUN=runs/a`` under make, else ``--run runs/a``."""
    text = "" if value is True else shlex.quote(str(value)) if value != "" else ""
    if by_make():
        return f"{name.upper().replace('-', '_')}={text or ('1' if value is True else '...')}"
    return f"--{name.replace('_', '-')}{f' {text}' if text else ''}"


def command(verb: str, **options: object) -> str:
    """Return a command as the user would type it, in backticks: ``make stack RUN=a`` or ``melstack stack --run a``."""
    words = [option(name, value) for name, value in options.items()]
    return f"`{' '.join(['make' if by_make() else 'melstack', verb, *words])}`"
