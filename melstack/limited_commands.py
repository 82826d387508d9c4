"""The options --cores and --memory: every command with heavy work may be told to use less of this machine."""

import copy
import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

from typer.models import CommandInfo

from melstack.option_types import setting

# Commands that use one core and little memory.
LIGHT = frozenset(["init", "leaderboard", "views", "verify", "check-bundle", "sign", "sbatch"])
Cores = Annotated[int | None, setting("use at most so many cores", "N", "all that are ours", min=1)]
Memory = Annotated[str | None, setting("count on at most so much memory: 8GB, 500MB", "SIZE", "all that is ours")]


def limit_command(command: CommandInfo) -> CommandInfo:
    """Return ``command`` with the options --cores and --memory; ``command`` itself stays as it is."""
    own = copy.copy(command)
    own.callback = None if command.callback is None else _with_limits(command.callback)
    return own


def _with_limits(command: Callable[..., None]) -> Callable[..., None]:
    """Return ``command`` with the options --cores and --memory, which hold while it runs."""
    hints = get_type_hints(command, include_extras=True)
    own = [
        parameter.replace(annotation=hints[name]) for name, parameter in inspect.signature(command).parameters.items()
    ]
    kind = inspect.Parameter.KEYWORD_ONLY
    limits = [
        inspect.Parameter("cores", kind, default=None, annotation=Cores),
        inspect.Parameter("memory", kind, default=None, annotation=Memory),
    ]
    parameters = [*(parameter.replace(kind=kind) for parameter in own), *limits]

    @functools.wraps(command)
    def run(*, cores: int | None, memory: str | None, **values: Any) -> None:  # noqa: ANN401  the values of any options
        """Call ``command`` with the limits in force."""
        from runtime.machine.cores import using_cores
        from runtime.machine.memory import bytes_of, using_memory

        size = None if memory is None else bytes_of(memory)
        with using_cores(cores), using_memory(size):
            command(**values)

    # typer reads both.
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
