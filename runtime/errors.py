"""Errors in the user's input: collected, listed and raised together."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from runtime.plural import number_of

MAX_NAME_LENGTH = 80  # characters of a name in a message


class InputFault(ValueError):
    """An error in the user's input; its message says where, what was found, and what would be right.

    The command lines print the message without a traceback and exit with code 2.
    """


class RunFault(InputFault):
    """Files of a run are damaged or were made from other inputs; ``code`` is the exit code of the command line."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Faults:
    """Collect errors so that the user can fix all of them at once instead of one per run."""

    def __init__(self) -> None:
        self._messages: list[str] = []

    def __bool__(self) -> bool:
        """Return whether any error was added."""
        return bool(self._messages)

    def add(self, message: str) -> None:
        """Add the message of one error."""
        self._messages.append(message)

    def raise_if_any(self, title: str) -> None:
        """Raise one InputFault that lists every message under ``title``; do nothing when there are none."""
        if self._messages:
            lines = "\n".join(f"  - {message}" for message in self._messages)
            raise InputFault(f"{title}: {number_of(len(self._messages), 'fault')}\n{lines}")


def list_names(names: Iterable[object], limit: int = 5) -> str:
    """Return the count of ``names`` and the first ``limit`` of them: ``7 (a, b, c, d, e, ...)``.

    Long names are cut, and unprintable characters are escaped because a terminal may interpret them as commands.
    """
    texts = [str(name) for name in names]
    first = ", ".join(_printable(text) for text in texts[:limit])
    return f"{len(texts)} ({first}{', ...' if len(texts) > limit else ''})"


def _printable(name: str) -> str:
    short = name if len(name) <= MAX_NAME_LENGTH else f"{name[:MAX_NAME_LENGTH]}..."
    return short if short.isprintable() else repr(short)


def did_you_mean(name: str, choices: Sequence[str]) -> str:
    """Return ``did you mean 'x'?`` with the choice most similar to ``name``, or the list of all ``choices``."""
    near = get_close_matches(name, choices, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(choices)}"
