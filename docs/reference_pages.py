"""The reference pages of the documentation site, written from the code: every command, every key of a settings file."""

import ast
import inspect
import json
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import typer

from features.folder.layout import Columns, Layout
from level1_cnn.augment.settings import Augmentation
from level1_cnn.experiment import Experiment, OnnxFile
from level1_cnn.training_settings import Finetune, FrozenFeatures, PictureInput, Pretraining, PseudoLabels
from level1_cnn.tuning.search_space import SearchFile
from level2_stack.learners import find, names
from level2_stack.recipe import Budget, Calibration, Recipe
from level2_stack.thresholds.settings import ThresholdRules
from melstack.bundle.serving.limits import Limits
from melstack.cli import build_app
from melstack.run_settings import DECLARATIONS
from runtime.cluster.queue_settings import QueueSettings
from runtime.settings import Settings

_KINDS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "object": "table",
}


@dataclass(frozen=True)
class SettingsFile:
    """A settings file of the product: its title, where it is given, and the models of its sections."""

    title: str
    introduction: str
    sections: Mapping[str, type[Settings]]


def settings_files() -> list[SettingsFile]:
    """Return every settings file that a user can write, except run.toml, whose keys are options of commands."""
    learners = {f"[{name}]": find(name).Params for name in names()}
    return [
        SettingsFile(
            "cases.toml",
            "Where tables, pictures and columns of a data folder are: `MAPPING=cases.toml`, or in the folder itself.",
            {"the file": Layout, "[columns]": Columns},
        ),
        SettingsFile(
            "A network",
            "One file per network: `MODELS=mine.toml`, or one of `level1_cnn/configs`.",
            {
                "the file": Experiment,
                "[onnx]": OnnxFile,
                '[training] with method = "finetune"': Finetune,
                "[training.pretrain]": Pretraining,
                "[training.pseudo]": PseudoLabels,
                "[training.augmentation]": Augmentation,
                '[training] with method = "frozen"': FrozenFeatures,
                "an entry of inputs": PictureInput,
            },
        ),
        SettingsFile("The search for a network's settings", "`make tune SEARCH=mine.toml`.", {"the file": SearchFile}),
        SettingsFile(
            "A recipe",
            "Level two: `RECIPE=mine.toml`, or one of `level2_stack/configs`. A learner's section has its parameters.",
            {
                "the file": Recipe,
                "[calibration]": Calibration,
                "[tuning]": Budget,
                "[thresholds]": ThresholdRules,
                **learners,
            },
        ),
        SettingsFile(
            "cluster.toml",
            "One job of a queue: `CLUSTER=slurm` and `melstack sbatch` read it.",
            {"the file": QueueSettings},
        ),
        SettingsFile(
            "limits.toml", "The limits of the patient page: `make serve LIMITS=limits.toml`.", {"the file": Limits}
        ),
    ]


def write_pages(folder: Path) -> None:
    """Write commands.md and settings.md into ``folder``, which may exist."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "commands.md").write_text(commands_page(), encoding="utf-8")
    (folder / "settings.md").write_text(settings_page(), encoding="utf-8")


def commands_page() -> str:
    """Return the page of every command of `melstack`, with its options, their defaults and an example."""
    app: Any = typer.main.get_command(build_app())
    parts = [
        "# Commands",
        "Every command, as `melstack COMMAND -h` explains it. For make, `--free-disk 500` is `FREE_DISK=500`.",
    ]
    for name, command in app.commands.items():
        parts += [f"## {name}", command.help]
        rows = [_option_row(each) for each in command.params if not each.hidden and each.name != "help"]
        parts += [_table(("option", "meaning", "default"), rows)] if rows else []
        parts += [f"```\n{command.epilog.removeprefix('Example: ')}\n```"] if command.epilog else []
    return "\n\n".join(parts) + "\n"


def settings_page() -> str:
    """Return the page of every key of every settings file: its kind, its default, and what it does or why it is so."""
    parts = [
        "# Settings files",
        "Every key, with its default. An unknown key, or one without effect, is an error that names it.",
    ]
    parts += [
        "## run.toml",
        "The settings of a run, in its folder; every command reads them, and an option changes its line.",
    ]
    commands: Any = typer.main.get_command(build_app())
    options = {each.name: each for each in commands.commands["submission"].params}
    rows = [(f"`{name}`", options[name].help, _default_of_option(options[name])) for name in DECLARATIONS]
    parts += [_table(("key", "meaning", "default"), rows)]
    for file in settings_files():
        parts += [f"## {file.title}", file.introduction]
        for section, model in file.sections.items():
            table = _table(("key", "values", "default", "remark"), _field_rows(model))
            parts += [f"### {file.title}: {section}", inspect.getdoc(model) or "", table]
    return "\n\n".join(parts) + "\n"


def field_comments(model: type[Settings]) -> dict[str, str]:
    """Return the name of every field of ``model`` -> its comments in the source, before it and behind it."""
    source = inspect.cleandoc("\n" + inspect.getsource(model))
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    lines = source.splitlines()
    definition = ast.parse(source).body[0]
    fields = [node for node in getattr(definition, "body", []) if isinstance(node, ast.AnnAssign)]
    texts = {}
    for node in fields:
        before = reversed(list(_lines_before(lines, node.lineno)))
        own = [*before, *range(node.lineno, (node.end_lineno or node.lineno) + 1)]
        texts[ast.unparse(node.target)] = " ".join(comments[line] for line in own if line in comments)
    return {name: text for name, text in texts.items() if name in model.model_fields}


def _lines_before(lines: Sequence[str], number: int) -> Iterator[int]:
    """Yield the numbers of the comment lines directly before line ``number`` (from 1), the nearest first."""
    while number > 1 and lines[number - 2].lstrip().startswith("#"):
        number -= 1
        yield number


def _field_rows(model: type[Settings]) -> list[tuple[str, ...]]:
    schema = model.model_json_schema()
    mandatory = schema.get("required", [])
    kinds = {name: kind_in_words(each) for name, each in schema["properties"].items()}
    defaults = {name: "required" if name in mandatory else _default(model, name) for name in kinds}
    comments = field_comments(model)
    remarks = {name: schema["properties"][name].get("description") or comments[name] for name in comments}
    return [(f"`{name}`", kinds[name], defaults[name], remarks[name]) for name in comments]


def kind_in_words(schema: Mapping[str, Any]) -> str:
    """Return the values that a key takes, in words, from its JSON schema."""
    if "anyOf" in schema or "oneOf" in schema:
        choices = schema.get("anyOf") or schema["oneOf"]
        return " or ".join(dict.fromkeys(kind_in_words(each) for each in choices if each.get("type") != "null"))
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if "$ref" in schema:
        return "a section"
    if schema.get("type") == "array":
        inner = schema.get("items") or schema["prefixItems"][0]
        return f"list of {kind_in_words(inner)}"
    return _KINDS.get(schema.get("type", ""), "any") + _bounds(schema)


def _bounds(schema: Mapping[str, Any]) -> str:
    words_of = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    parts = [f"{words} {schema[name]:g}" for name, words in words_of.items() if name in schema]
    return ", " + ", ".join(parts) if parts else ""


def _default(model: type[Settings], name: str) -> str:
    value = model.model_fields[name].get_default(call_default_factory=True)
    if isinstance(value, Settings):
        return "its defaults"
    return "none" if value is None or value == () else f"`{json.dumps(value, default=str)}`"


def _option_row(each: Any) -> tuple[str, ...]:  # noqa: ANN401  an option or argument of click
    name = ", ".join(each.opts) + (f" {each.metavar}" if each.metavar else "")
    return f"`{name}`", each.help or "", _default_of_option(each)


def _default_of_option(each: Any) -> str:  # noqa: ANN401  an option of click
    return _code(each.show_default if isinstance(each.show_default, str) else each.default)


def _code(value: object) -> str:
    if value is None or value is False or value == "none":
        return "none"
    return value if isinstance(value, str) and " " in value else f"`{value}`"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )
