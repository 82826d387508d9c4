"""Tests of the reference pages: every command and every key is on them, with what it does."""

import re
from pathlib import Path

import pytest
from pydantic import Field

from docs.reference_pages import (
    commands_page,
    field_comments,
    kind_in_words,
    settings_files,
    settings_page,
    write_pages,
)
from melstack.cli import ORDER
from runtime.settings import Settings


class Example(Settings):
    """An example."""

    # first line
    # second line
    number: int = Field(3, ge=1, lt=9)
    words: tuple[str, ...] = ()  # behind the field
    silent: bool = True


def test_a_field_has_the_comments_before_it_and_behind_it() -> None:
    assert field_comments(Example) == {"number": "first line second line", "words": "behind the field", "silent": ""}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1, "exclusiveMaximum": 9}, "whole number, at least 1, below 9"),
        ({"type": "number", "exclusiveMinimum": 0}, "number, above 0"),
        ({"enum": ["a", "b"]}, "`a`, `b`"),
        ({"const": "a"}, "`a`"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "text"),
        ({"anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}]}, "a section"),
        ({"type": "array", "items": {"type": "string"}}, "list of text"),
        ({"type": "array", "prefixItems": [{"type": "number"}, {"type": "number"}]}, "list of number"),
        ({"type": "object"}, "table"),
    ],
)
def test_a_schema_is_said_in_words(schema, words) -> None:
    assert kind_in_words(schema) == words


def test_every_key_of_every_settings_file_has_a_row_that_says_what_it_does() -> None:
    page = settings_page()
    for file in settings_files():
        for model in file.sections.values():
            for name in model.model_fields:
                assert re.search(rf"^\| `{name}` \| [^|]+ \| .+ \| .+ \|$", page, re.MULTILINE), (file.title, name)
    assert re.findall(r"^.*\| +\|$", page, re.MULTILINE) == []


def test_every_command_has_a_section_with_its_options_and_an_example() -> None:
    page = commands_page()
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == list(ORDER)
    for name in ORDER:
        section = page.split(f"## {name}\n")[1].split("\n## ")[0]
        assert "| option | meaning | default |" in section, name
        assert f"melstack {name}" in section, name


def test_the_pages_are_written_into_a_folder(tmp_path: Path) -> None:
    write_pages(tmp_path / "reference")
    assert sorted(path.name for path in tmp_path.glob("reference/*")) == ["commands.md", "settings.md"]
