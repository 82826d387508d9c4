"""Write settings as the TOML that reads back as the same settings, with reasons as comments."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def toml_text(settings: Mapping[str, Any], head: Sequence[str] = (), reasons: Mapping[str, str] | None = None) -> str:
    """Return the complete TOML of ``settings``: ``head`` as comment lines, then every setting.

    ``reasons`` gives a dotted key ('training.learning_rate') the comment that stands behind its value.
    """
    lines = [*(f"# {line}".rstrip() for line in head), *_section("", settings, reasons or {})]
    return "\n".join(lines) + "\n"


def _section(name: str, values: Mapping[str, Any], reasons: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of a table: its own values first, then the tables within."""
    if name:
        yield from ("", f"[{name}]")
    prefix = f"{name}." if name else ""
    for key, value in values.items():
        # TOML has no null: what is absent is left out.
        if value is None or isinstance(value, Mapping):
            continue
        reason = reasons.get(f"{prefix}{key}")
        yield f"{key} = {_written(value)}" + (f"  # {reason}" if reason else "")
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _section(f"{prefix}{key}", value, reasons)


def _written(value: object) -> str:
    """Return a TOML value; JSON writes booleans, numbers and strings the same way."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(_written(part) for part in value)}]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
