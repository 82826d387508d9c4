"""Faults in what the user brought: collected, named and raised together."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

MAX_NAME_LENGTH = 80  # of a name in a sentence


class InputFault(ValueError):
    """Say that something the user brought is wrong: where, what was found, what would be right.

    The command lines print its message without a traceback and exit with code 2.
    """


class Faults:
    """Collect faults so that a user mends all of them at once, not one per run."""

    def __init__(self) -> None:
        self._messages: list[str] = []

    def __bool__(self) -> bool:
        """Tell whether there is any."""
        return bool(self._messages)

    def add(self, message: str) -> None:
        """Remember one fault."""
        self._messages.append(message)

    def raise_if_any(self, title: str) -> None:
        """Raise one InputFault that lists every fault under ``title``; do nothing when there is none."""
        if self._messages:
            lines = "\n".join(f"  - {message}" for message in self._messages)
            raise InputFault(f"{title}: {len(self._messages)} fault(s)\n{lines}")


def list_names(names: Iterable[object], most: int = 5) -> str:
    """Return the count of ``names`` and the first ``most`` of them: ``7 (a, b, c, d, e, ...)``.

    A name is shown cut and with its unprintable letters escaped: a terminal would obey some of them.
    """
    listed = [str(name) for name in names]
    shown = ", ".join(_shown(name) for name in listed[:most])
    return f"{len(listed)} ({shown}{', ...' if len(listed) > most else ''})"


def _shown(name: str) -> str:
    cut = name if len(name) <= MAX_NAME_LENGTH else f"{name[:MAX_NAME_LENGTH]}..."
    return cut if cut.isprintable() else repr(cut)


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return ``did you mean 'x'?`` for the nearest known name, or the list of what exists."""
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(known)}"
