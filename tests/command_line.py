"""The command line `melstack`, typed within this process."""

import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO

from melstack.cli import main


@dataclass(frozen=True)
class Output:
    """How a command ended."""

    code: int
    out: str
    err: str


def run_melstack(*words: object) -> Output:
    """Return how `melstack` with these words ends: its exit code and what it prints, as a user would see them."""
    out, err, before = StringIO(), StringIO(), sys.argv
    sys.argv = ["melstack", *map(str, words)]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as ended:
        return Output(int(ended.code or 0), out.getvalue(), err.getvalue())
    finally:
        sys.argv = before
    raise AssertionError("a command line ends with an exit code")
