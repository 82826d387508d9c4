"""Make a command of typer from a function that takes groups of options; a run's settings are the defaults."""

import functools
import inspect
from collections.abc import Callable, Collection
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_origin, get_type_hints

import typer

from melstack.options import BundleOptions, RunOptions, split_names

Values = dict[str, Any]
CONTEXT = "typer_context"  # name of the parameter by which typer says which options were typed


def expand_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Return ``command`` with every parameter that is a dataclass of options replaced by the fields of that class.

    What the command line does not say comes from the run's settings, if the command works on a run that has them.
    """
    hints = get_type_hints(command, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if isinstance(hint, type) and is_dataclass(hint)}
    parameters = [_parameter(CONTEXT, MISSING, typer.Context)]
    for name, parameter in inspect.signature(command).parameters.items():
        if name in groups:
            own = get_type_hints(groups[name], include_extras=True)
            options = [field for field in fields(groups[name]) if get_origin(own[field.name]) is Annotated]
            parameters += [_parameter(field.name, field.default, own[field.name]) for field in options]
        else:
            parameters.append(_parameter(name, parameter.default, hints[name]))

    @functools.wraps(command)
    def run(**values: Any) -> None:  # noqa: ANN401  the values of any options
        """Call ``command`` with the values collected into its dataclasses."""
        context = values.pop(CONTEXT)
        values = _with_settings(groups, values, _names_in_line(context, values))
        arguments = {
            name: group(**{field.name: values.pop(field.name) for field in fields(group) if field.name in values})
            for name, group in groups.items()
        }
        if values.get("cluster") is None:
            command(**arguments, **values)
            return
        from runtime.cluster.queue import open_cluster

        with open_cluster(values["cluster"]) as address:
            command(**arguments, **values | {"cluster": address})

    # typer reads both.
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _parameter(name: str, default: object, hint: object) -> inspect.Parameter:
    default = inspect.Parameter.empty if default is MISSING else default
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def _names_in_line(context: typer.Context, options: Collection[str]) -> set[str]:
    """Return the names of the options that were typed."""
    sources = {name: context.get_parameter_source(name) for name in options}
    return {name for name, source in sources.items() if source is not None and source.name != "DEFAULT"}


def _with_settings(groups: dict[str, type], values: Values, names_in_line: set[str]) -> Values:
    """Return ``values`` with the run's settings for the options that were not typed, and with its memory."""
    run_group = next((group for group in groups.values() if issubclass(group, RunOptions)), None)
    if run_group is None:
        return values
    options = RunOptions(values["data"], values["run"])
    if issubclass(run_group, BundleOptions):
        return values if options.data else values | _data_of_run(options.folder, values.keys())
    from melstack.run_settings import DECLARATIONS, GROUPS, from_toml, recall  # slow: it imports pydantic

    names = {field.name for group in groups.values() if group in GROUPS for field in fields(group)}
    names &= DECLARATIONS.keys()
    own = {name: values[name] for name in names}
    own["data"] = options.data_folder if options.run is None else options.data
    reset = split_names(values.get("reset"))
    memory = recall(options.folder, own, names_in_line & names, reset, is_named=options.run is not None)
    from_file = {name: from_toml(name, memory.now.get(name)) for name in (names - names_in_line) & memory.before.keys()}
    return values | from_file | {"memory": memory}


def _data_of_run(folder: Path, options: Collection[str]) -> Values:
    """Return those of ``options`` that name the run's data: without another folder, a bundle predicts its cases."""
    from melstack.run_settings import from_toml, read_run_settings

    settings = read_run_settings(folder)
    return {name: from_toml(name, settings[name]) for name in ("data", "mapping") if name in settings.keys() & options}
