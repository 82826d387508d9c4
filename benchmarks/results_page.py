"""The page of the measured figures, docs/results.md, written from docs/results.toml."""

from collections.abc import Iterator

from benchmarks.results_file import Result, ResultsFile, Section


def results_page(content: ResultsFile) -> str:
    """Return the Markdown of the page."""
    parts = ["# Results: every measured figure", content.introduction, _overview(content)]
    for section in content.sections:
        parts += [f"## {section.title}", section.text, *_entries(section)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _overview(content: ResultsFile) -> str:
    rows = ["| result | what | needs | takes |", "|---|---|---|---|"]
    rows += [
        f"| [{each.name}](#{each.name}) | {each.what} | {_needs(each)} | {each.takes or ''} |" for each in content.all()
    ]
    return "\n".join(rows)


def _entries(section: Section) -> Iterator[str]:
    for result in section.results:
        yield f"### {result.name}"
        yield f"{result.what[0].upper()}{result.what[1:]}. {_facts(result)}"
        if result.command:
            yield "\n".join(f"    {line}" for line in result.command.strip().splitlines())
        yield result.result
        yield from [result.remark] if result.remark else []


def _facts(result: Result) -> str:
    facts = [f"Needs {_needs(result)}."] if result.needs else []
    facts += [f"Takes {result.takes}."] if result.takes else []
    return " ".join([*facts, f"Written down on {result.date}."])


def _needs(result: Result) -> str:
    return ", ".join(f"`{name}`" for name in result.needs)
