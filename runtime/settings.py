"""Settings: TOML files read into frozen pydantic models; an unknown key is an error that names the nearest key."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from runtime.errors import InputFault, did_you_mean


class Settings(BaseModel):
    """Base of every settings model: immutable; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def later(default: Any) -> Any:  # noqa: ANN401  as pydantic's Field
    """Return a field with a default that is written only if it has another value.

    For a setting that is added after runs were made: what they recorded stays equal to what is compared with it.
    """
    return Field(default=default, exclude_if=lambda value: value == default)


Model = TypeVar("Model", bound=Settings)


def read_settings(path: Path, model: type[Model]) -> Model:
    """Return the TOML file at ``path`` as ``model``; raise InputFault that names every wrong key with its value."""
    return check_settings(read_toml(path), model, path.name)


def read_toml(path: Path) -> dict[str, Any]:
    """Return the values of a TOML file, unchecked; raise InputFault when it is missing or not TOML."""
    if not path.is_file():
        raise InputFault(f"{path}: this settings file does not exist")
    try:
        # "utf-8-sig" skips the byte order mark that editors on Windows write before the text.
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputFault(f"{path.name}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise InputFault(f"{path.name}: not valid TOML: {error}") from error


def check_settings(values: dict[str, Any], model: type[Model], where: str) -> Model:
    """Return ``values`` as ``model``; raise InputFault that names every wrong key; ``where`` is their file."""
    # From JSON pydantic accepts a list for a tuple; strict, because "384" or true instead of a number is a mistake.
    content = json.dumps(values, default=str)
    try:
        return model.model_validate_json(content, strict=True)
    except ValidationError as error:
        messages = [_message(problem, model, where) for problem in error.errors()]
        raise InputFault("\n".join(messages)) from error


def _message(problem: ErrorDetails, model: type[BaseModel], where: str) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        *sections, name = map(str, problem["loc"])
        place = _place_of(name, model, is_in_section=bool(sections))
        return f"{where}: unknown key {key!r}; {place or did_you_mean(name, _known_keys(model, problem['loc'][:-1]))}"
    if problem["type"] == "missing":
        return f"{where}: {key!r} is missing"
    text = problem["msg"].removeprefix("Value error, ")  # pydantic writes this before our own messages
    # When settings contradict each other, the value is a whole section, too long to print.
    if isinstance(problem["input"], dict):
        return f"{where}: {key}: {text}" if key else f"{where}: {text}"
    return f"{where}: {key} = {problem['input']!r}: {text}"


def _place_of(name: str, model: type[BaseModel], *, is_in_section: bool) -> str:
    """Return where the key ``name`` belongs, if it is one of another section or of the top of the file; else ""."""
    if is_in_section:
        return "it belongs to the top of the file, before the first [section]" if name in model.model_fields else ""
    sections = (
        field for field in model.model_fields if any(name in kind.model_fields for kind in _inner_models(model, field))
    )
    return next((f"it belongs into the section [{section}]" for section in sections), "")


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Return the keys of the nested model at ``location``; a tag in ``location`` chooses among a union's models."""
    candidates = [model]
    for part in location:
        inner = [kind for candidate in candidates for kind in _inner_models(candidate, part)]
        candidates = inner or [candidate for candidate in candidates if _has_tag(candidate, part)] or candidates
    return sorted({key for candidate in candidates for key in candidate.model_fields})


def _has_tag(model: type[BaseModel], tag: int | str) -> bool:
    """Return whether ``tag`` is the value by which a union chooses this model: Literal["..."] in one of its fields."""
    return any(tag in getattr(field.annotation, "__args__", ()) for field in model.model_fields.values())


def _inner_models(model: type[BaseModel], part: int | str) -> list[type[BaseModel]]:
    field = model.model_fields.get(str(part))
    if field is None:
        return []
    kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]


def toml_text(settings: Mapping[str, Any], head: Sequence[str] = (), reasons: Mapping[str, str] | None = None) -> str:
    """Return the complete TOML of ``settings``: ``head`` as comment lines, then every setting.

    ``reasons`` maps a dotted key ('training.learning_rate') to the comment above its value.
    """
    import tomlkit  # only needed here; commands that only read settings start faster

    lines, section = [f"# {line}".rstrip() for line in head], ""
    for line in tomlkit.dumps(_without_none(settings)).splitlines():
        if line.startswith("["):
            section = line.strip("[]") + "."
        reason = (reasons or {}).get(section + line.partition(" = ")[0])
        lines += [line] if reason is None else [f"# {reason}", line]
    return "\n".join(lines) + "\n"


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings without None values: TOML has no null, and a missing key means the same."""
    return {
        key: _without_none(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if value is not None
    }
