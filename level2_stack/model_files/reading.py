"""Read a model file of limited size, and name what is wrong with one."""

from pathlib import Path

from runtime.errors import InputFault

MAX_BYTES = 512 * 2**20  # of one model; those of the recipes have less than 1 MB


def read_model(path: Path) -> bytes:
    """Return the bytes of the model file at ``path``; raise InputFault if it is missing or too large."""
    if not path.is_file():
        raise InputFault(f"{path}: no such file; a model was expected")
    if path.stat().st_size > MAX_BYTES:
        raise InputFault(f"{path}: {path.stat().st_size:,} bytes; a model may have at most {MAX_BYTES:,}")
    return path.read_bytes()


class ModelFault(ValueError):
    """What is wrong with the content of a model file; the reader of the file adds its name."""


def require(condition: bool, reason: str) -> None:
    """Raise ModelFault with ``reason`` unless ``condition`` holds."""
    if not condition:
        raise ModelFault(reason)


def require_equal(name: str, value: object, expected: object) -> None:
    """Raise ModelFault unless the ``value`` called ``name`` is the ``expected`` one."""
    require(type(value) is type(expected) and value == expected, f"{name} is {str(value)[:60]!r}; expected {expected}")
