"""Tests of the commands in the pages: every target, variable, verb and option that a page names exists."""

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path

import pytest
import typer

from benchmarks import __main__ as measurements
from benchmarks.stacking import __main__ as studies
from melstack.cli import build_app
from melstack.make_words import options_of
from tests.sources import ROOT

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
APPS = {
    "melstack": typer.main.get_command(build_app()),
    "benchmarks": typer.main.get_command(measurements.app),
    "benchmarks.stacking": typer.main.get_command(studies.app),
}
# Sections of tables of wrong commands, and of what is said to them.
WRONG_ON_PURPOSE = {"command_line.md": ("## What is done with difficult input",)}
# A word that stands for another: `make TARGET NAME=value`, `melstack VERB -h`.
STANDS_FOR = {"TARGET", "VERB", "COMMAND", "WORDS", "..."}
INLINE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
STARTS = re.compile(
    r"(?<![\w./-])(?<!from )(?:make|(?:\S*/)?melstack|(?:\S*/)?python3? -m (?:melstack|benchmarks[.\w]*)) (?=[a-zA-Z])"
)
BEFORE = re.compile(r"\s*(?:\S+=\S+ |taskset -c \d+ |.*(?:&&|;|do) )?")  # of a command in a block
WORD = re.compile(r"(?:'[^']*'|\"[^\"]*\"|[^\s'\"])+")
ENDS = ("#", "&", "|", "<", ">", ";")


@dataclass(frozen=True)
class Line:
    """A command of a page: where it is, the app ("make", "melstack", "benchmarks", ...), and its words."""

    page: str
    app: str
    words: tuple[str, ...]

    @property
    def target(self) -> str:
        """The first word: a target of make, or a verb."""
        return self.words[0]


def pages() -> list[Path]:
    """Return every page that a person writes; the reference pages are written from the code."""
    docs = [path for path in sorted((ROOT / "docs").rglob("*.md")) if path.name not in ("commands.md", "settings.md")]
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *docs]


def code_of(text: str) -> Iterator[str]:
    """Yield the commands in the blocks of a page, with continued lines joined, and all code between backticks."""
    is_block = False
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("```"):
            is_block = not is_block
        elif (is_block or line.startswith("    ")) and "`" not in line:
            yield from (
                line[match.start() :] for match in STARTS.finditer(line) if BEFORE.fullmatch(line[: match.start()])
            )
        else:
            yield from (code for _, code in INLINE.findall(line))


def commands_in(page: str, text: str) -> Iterator[Line]:
    """Yield every command of make, melstack and the benchmarks in the code of a page."""
    for code in code_of(text):
        if match := STARTS.search(code):
            words = tuple(
                takewhile(lambda word: not word.startswith(ENDS), WORD.findall(code[match.end() :].partition("`")[0]))
            )
            if words and words[0] not in STANDS_FOR:
                yield Line(page, match[0].split()[-1].rpartition("/")[2], tuple(word.rstrip(";),") for word in words))


@cache
def lines() -> tuple[Line, ...]:
    """Return the commands of all pages, without sections of wrong ones."""
    every: list[Line] = []
    for path in pages():
        text = path.read_text(encoding="utf-8")
        for title in WRONG_ON_PURPOSE.get(path.name, ()):
            text = re.sub(rf"^{title}$.*?(?=^## |\Z)", "", text, flags=re.S | re.M)
        every += commands_in(path.name, text)
    return tuple(every)


def faults(line: Line) -> list[str]:
    """Return what is wrong with a command: a target, verb, variable or option that does not exist."""
    return _faults_of_make(line.words) if line.app == "make" else _faults_of_app(APPS[line.app], line.words)


def _faults_of_make(words: Sequence[str]) -> list[str]:
    names = [word.partition("=")[0] for word in words if re.match(r"[A-Z_]+=", word)]
    targets = [word for word in words if "=" not in word and word not in STANDS_FOR]
    if wrong := [f"target {target}" for target in targets if target not in TARGETS]:
        return wrong
    variables = set().union(*(_variables_of(target) for target in targets))
    return [f"{name} of {' '.join(targets)}" for name in names if name not in variables]


def _variables_of(target: str) -> set[str]:
    if target == "prove":
        proofs = APPS["benchmarks.stacking"]
        return {"PROOF", "PROOF_OPTIONS"}.union(*(options_of(proofs, verb) for verb in proofs.commands))
    own = {"test": {"TESTS"}, "test-all": {"TESTS", "KILLS", "PIPELINE_KILLS"}, "setup": {"GPU"}}
    apps = [app for app in (APPS["melstack"], APPS["benchmarks"]) if target in app.commands]
    return own.get(target, set()).union(*(options_of(app, target) for app in apps))


def _faults_of_app(app: typer.core.TyperGroup, words: Sequence[str]) -> list[str]:
    if words[0] not in app.commands:
        return [f"verb {words[0]}"]
    options = _words_of(app, words[0]) | {"-h", "--help"}
    if words[0] == "seeds":  # the others belong to `melstack oof`
        options |= _words_of(APPS["melstack"], "oof")
    if words[0] == "count-processes":  # the rest is a command of melstack
        return _faults_of_app(APPS["melstack"], [word for word in words[1:] if not re.match(r"--pretended|\d", word)])
    return [f"{word} of {words[0]}" for word in words if word.startswith("-") and word not in options]


def _words_of(app: typer.core.TyperGroup, verb: str) -> set[str]:
    return {option for each in app.commands[verb].params for option in (*each.opts, *each.secondary_opts)}


def test_every_command_of_every_page_exists_with_its_options() -> None:
    assert [(line.page, fault) for line in lines() for fault in faults(line)] == []


def test_the_pages_have_many_commands_of_each_kind() -> None:
    counts = {app: sum(line.app == app for line in lines()) for app in ("make", *APPS)}
    assert counts["make"] > 150
    assert counts["melstack"] > 50
    assert counts["benchmarks"] > 5
    assert len({line.page for line in lines()}) > 15


def test_no_indented_command_is_read_as_the_text_of_a_list() -> None:
    # Markdown continues an item with what is indented behind it, even after an empty line.
    item = re.compile(r"^ *(?:[*-]|\d+\.) .*\n(?:\n|  .*\n)*?\n    (?=\S)(?![*-] |\d+\. )", re.MULTILINE)
    places = [f"{page.name}: {text}" for page in pages() for text in item.findall(page.read_text(encoding="utf-8"))]
    assert places == []


def test_every_verb_stands_on_a_page() -> None:
    assert set(APPS["melstack"].commands) - {line.target for line in lines()} == set()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("`make reprot DATA=x`", "target reprot"),
        ("    make report PROFILE=gpu  # no such variable there", "PROFILE of report"),
        ("```\nmake oof \\\n  MODEL=x\n```", "MODEL of oof"),
        ("`.venv/bin/melstack reprot`", "verb reprot"),
        ("`melstack report --profile gpu`", "--profile of report"),
        ("| a | `cd x && python -m benchmarks plant-leaks --dta y` |", "--dta of plant-leaks"),
    ],
)
def test_a_wrong_command_is_noticed(text: str, fault: str) -> None:
    assert [each for line in commands_in("page", text) for each in faults(line)] == [fault]


def test_prose_and_placeholders_are_no_commands() -> None:
    assert (
        list(commands_in("page", "They make figures. `make TARGET NAME=value` `melstack VERB -h` `make` alone")) == []
    )


def test_every_proof_test_folder_and_extra_that_a_page_names_exists() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in pages())
    proofs = set(re.findall(r"PROOF=([a-z]+)", text))
    tests = set(re.findall(r"\b(tests/[\w/.]+\w)", text))
    extras = {
        name for names in re.findall(r"pip install '(?:melstack|\.)\[([a-z,]+)\]'", text) for name in names.split(",")
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert min(len(proofs), len(tests), len(extras)) > 2
    assert proofs - set(APPS["benchmarks.stacking"].commands) == set()
    assert [path for path in sorted(tests) if not (ROOT / path).exists()] == []
    assert extras - set(project["optional-dependencies"]) == set()
