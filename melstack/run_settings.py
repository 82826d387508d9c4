"""run.toml: the settings that a run was made with; the first command writes them, and later ones read them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import typer
from pydantic import Field, create_model
from typer.models import OptionInfo

from melstack.options import CasesOptions, NetworkOptions, RecipeOptions, RunOptions, StackOptions, split_names
from runtime.errors import InputFault, did_you_mean
from runtime.files import read_json, write_text
from runtime.invocation import option
from runtime.settings import Settings, check_settings, read_toml

NAME = "run.toml"
NOT_SETTINGS = ("run", "verbose", "memory", "reset", "clinic_train", "clinic_test", "clinic_seed")
# Setting -> the settings that have another meaning when it changes; they return to their defaults.
DEPENDENT = {"data": ("mapping", "accept_finding"), "profile": ("models",), "foreign": ("trust",)}
PATHS = ("data", "mapping", "foreign")
HEAD = (
    "The settings of this run. Every command on the run reads them; an option of a command changes its line.",
    "A setting that has no line has its default (melstack submission -h). Relative paths start at the current folder.",
)
# Values for the comments of a new file, where the default is empty.
EXAMPLES = {
    "mapping": "mydata/cases.toml",
    "extra": ["ham10000"],
    "folds_by": "hospital",
    "folds_by_time": "visit_date",
    "models": ["lite0_96_frozen", "mine.toml"],
    "foreign": "predictions",
    "trust": ["network"],
    "accept_finding": ["stacked-auc"],
    "prevalence": 0.0176,
}
Values = Mapping[str, Any]


def _declarations() -> dict[str, tuple[Any, OptionInfo]]:
    """Return setting -> its type and its option, in the order of the file."""
    groups = (CasesOptions, NetworkOptions, StackOptions)
    hints = {name: hint for group in groups for name, hint in get_type_hints(group, include_extras=True).items()}
    names = dict.fromkeys(field.name for group in groups for field in fields(group))
    return {name: get_args(hints[name]) for name in names if name not in NOT_SETTINGS}


DECLARATIONS = _declarations()
MODEL: type[Settings] = create_model(
    "RunSettings",
    __base__=Settings,
    **{name: (kind | None, Field(None, ge=info.min)) for name, (kind, info) in DECLARATIONS.items()},  # type: ignore[call-overload]
)
GROUPS = (RunOptions, CasesOptions, NetworkOptions, RecipeOptions, StackOptions)  # options of these may be settings


@dataclass(frozen=True)
class RunMemory:
    """The settings in the file of a run, ``before`` this command and ``now``, as values of TOML."""

    path: Path
    before: Values
    now: Values

    def changes(self) -> list[str]:
        """Return ``setting: before -> now`` for every setting that the options of this command change."""
        names = [name for name in DECLARATIONS if name in self.before and self.before[name] != self.now.get(name)]
        new_names = [name for name in DECLARATIONS if name in self.now and name not in self.before]
        # A run of an earlier version, without the file, does not say what its other settings were.
        new_names = [name for name in new_names if self.path.is_file() and self.now[name] != _default(name)]
        return [
            f"{name}: {in_words(name, self.before.get(name))} -> {in_words(name, self.now.get(name))}"
            for name in [*names, *new_names]
        ]

    def others(self) -> list[str]:
        """Return ``setting value`` for every setting of the file that is not the default and did not change."""
        same = [name for name in DECLARATIONS if name in self.before and self.before[name] == self.now.get(name)]
        same = [name for name in same if name != "data" and self.now[name] != _default(name) and self.path.is_file()]
        return [f"{name} {in_words(name, self.now[name])}" for name in same]

    def text(self, notes: Sequence[str]) -> str:
        """Return a new file: ``notes`` as comments, and every setting with its help; a default is commented out."""
        lines = [f"# {line}" for line in (*HEAD, "", *notes)]
        for name, (_, info) in DECLARATIONS.items():
            default = in_words(name, _default(name))
            lines += ["", f"# {info.help} (default: {default})"]
            is_set = name in self.now and self.now[name] != _default(name)
            line = _line(name, self.now[name] if is_set else EXAMPLES.get(name, _default(name)))
            lines.append(line if is_set else f"# {line}")
        return "\n".join(line.rstrip() for line in lines) + "\n"

    def save(self, names: Collection[str] = ()) -> None:
        """Write the settings, only ``names`` if there are any; comments and order of an existing file stay."""
        import tomlkit  # slow to import

        now = {name: value for name, value in self.now.items() if not names or name in names or name in self.before}
        is_new = not self.path.is_file()
        text = "" if is_new else self.path.read_text(encoding="utf-8-sig")
        document = tomlkit.parse(text)
        if not is_new and document.unwrap() == now:
            return
        if is_new:
            for line in HEAD:
                document.add(tomlkit.comment(line))
        else:
            document = tomlkit.parse(_uncomment(text, {name: now[name] for name in now if name not in document}))
        for name in [name for name in document if name not in now]:
            document.remove(name)
        for name, value in now.items():
            if name not in document or document[name] != value:
                document[name] = value
        write_text(self.path, tomlkit.dumps(document))


def read_run_settings(folder: Path) -> dict[str, Any]:
    """Return the settings in run.toml of the run ``folder``; an older run without this file gives those of its cases.

    Raises InputFault for an unknown key or an invalid value.
    """
    path = folder / NAME
    if not path.is_file():
        return _settings_of_cases(folder)
    values = check_settings(read_toml(path), MODEL, str(path)).model_dump(exclude_unset=True, mode="json")
    for name, value in values.items():
        _check_value(path, name, value)
    return {name: as_toml(name, value) for name, value in values.items() if value is not None}


def _check_value(path: Path, name: str, value: object) -> None:
    """Raise InputFault if the option of a setting would refuse its value."""
    check = DECLARATIONS[name][1].callback
    try:
        if check is not None:
            check(value)
    except typer.BadParameter as error:
        raise InputFault(f"{path}: {name}: {error.message}") from error


def _settings_of_cases(folder: Path) -> dict[str, Any]:
    """Return the settings that the frozen case table and the import of a run without run.toml record; {} without."""
    cases, foreign = folder / "cases.json", folder / "foreign.json"
    request = read_json(cases).get("request") if cases.is_file() else None
    if request is None:
        return {}
    values = {
        **{name: request[name] for name in ("data", "mapping", "extra", "folds")},
        "official_folds": request["official"],
        "fold_seed": request["seed"],
        "folds_by": request.get("by"),
        "folds_by_time": request.get("by_time"),
    }
    if foreign.is_file():
        summary = read_json(foreign)
        values |= {"foreign": summary.get("folder"), "trust": summary.get("trust")}
    return {name: as_toml(name, value) for name, value in values.items() if value not in (None, [])}


def recall(
    folder: Path, values: Values, line: Collection[str], reset: Collection[str] = (), *, is_named: bool = True
) -> RunMemory:
    """Return the settings of the run in ``folder`` before and after a command with the options ``values``.

    ``line`` are the options on the command line; all others have their defaults in ``values``, and the file's values
    count instead. ``reset`` are settings that return to their defaults. Raises InputFault for an unknown setting in
    ``reset``, and if the run belongs to another data folder, unless the run was named (``is_named``).
    """
    if unknown := [name for name in reset if name not in DECLARATIONS]:
        nearest = did_you_mean(unknown[0], list(DECLARATIONS))
        raise InputFault(f"{option('reset', unknown[0])}: not a setting of a run; {nearest}")
    before = read_run_settings(folder)
    from_line = {name: as_toml(name, values[name]) for name in line if name in DECLARATIONS}
    if not is_named:
        _refuse_other_data(folder, before, from_line)
    names_to_drop = {*reset, *_dependent(before, from_line)} - from_line.keys()
    defaults = {name: as_toml(name, value) for name, value in values.items() if name in DECLARATIONS}
    now = {name: value for name, value in (defaults | before | from_line).items() if value is not None}
    for name in names_to_drop & now.keys():
        now[name] = _default(name)
    return RunMemory(folder / NAME, before, {name: now[name] for name in DECLARATIONS if now.get(name) is not None})


def _dependent(before: Values, from_line: Values) -> Iterator[str]:
    for name, others in DEPENDENT.items():
        if name in from_line and name in before and from_line[name] != before[name]:
            yield from others


def _refuse_other_data(folder: Path, before: Values, from_line: Values) -> None:
    """Raise InputFault if the run of this name was made from another data folder, which is still there."""
    ours, theirs = from_line.get("data"), before.get("data")
    if ours is None or theirs is None or ours == theirs or not Path(theirs).is_dir():
        return
    remedy = f"give the new data a run of its own: {option('run', f'{folder}-2')}"
    raise InputFault(f"{folder}: a run on {theirs}, not on {ours}; {remedy}")


def as_toml(name: str, value: object) -> Any:  # noqa: ANN401  any value of TOML
    """Return the value of a setting as TOML holds it: paths absolute, names in a list, None for a missing value."""
    if isinstance(value, list | tuple):
        names = split_names([str(text) for text in value])
        return [as_toml(name, text) for text in names] or None
    if value is not None and (name in (*PATHS, "extra") or str(value).endswith(".toml")):
        return str(Path(str(value)).expanduser().resolve())
    return value


def from_toml(name: str, value: object) -> Any:  # noqa: ANN401  the type of the option
    """Return the value of TOML as the option ``name`` has it."""
    return Path(str(value)) if name in PATHS and value is not None else value


def in_words(name: str, value: object) -> str:
    """Return the value of a setting as a text for people; a missing value as the default, as the help calls it."""
    value = _default(name) if value is None else value
    if value is None:
        text = DECLARATIONS[name][1].show_default
        return text if isinstance(text, str) else "none"
    if isinstance(value, list):
        return " ".join(map(str, value))
    return (
        "yes" if value is True else "no" if value is False else f"{value:g}" if isinstance(value, float) else str(value)
    )


def _uncomment(text: str, values: Values) -> str:
    """Return the text of a file in which ``values`` replace the comments that `init` wrote for them."""
    lines = text.split("\n")
    for name, value in values.items():
        comment = f"# {_line(name, EXAMPLES.get(name, _default(name)))}"
        if comment in lines:
            lines[lines.index(comment)] = _line(name, value)
    return "\n".join(lines)


def _line(name: str, value: object) -> str:
    import tomlkit  # slow to import

    return tomlkit.dumps({name: value}).strip()


def _default(name: str) -> Any:  # noqa: ANN401  any value of TOML
    owner = next(group for group in (CasesOptions, NetworkOptions, StackOptions) if hasattr(group, name))
    return as_toml(name, getattr(owner, name))
