"""Test of the pages of a run after a second stack: no page shows parts of two stacks."""

import re
from pathlib import Path

import pytest

from level2_stack.finished import stack_digest
from runtime.files import read_json
from runtime.run_folder import Run
from tests.command_line import run_melstack
from tests.tiny_project import FinishedRun


def run_on(run: Run, verb: str, *words: str) -> str:
    result = run_melstack(verb, "--run", run.folder, *words)
    assert result.code == 0, result.err
    return result.out


def digests_of(run: Run) -> set[str]:
    """Return the digests at the top and beside the headings of the report."""
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    return set(re.findall(r'title="digest [^"]*\b([0-9a-f]{16})\b', page))


@pytest.mark.full
def test_a_second_stack_has_no_gallery_of_the_first_until_it_is_explained(
    finished_run: FinishedRun, tmp_path: Path
) -> None:
    run = finished_run.copy_to(tmp_path)
    folder, report = run.level2 / "quick", run.folder / "report.html"
    run_on(run, "explain")
    run_on(run, "report")
    first = stack_digest(folder)
    assert digests_of(run) == {first}
    assert 'class="tiles' in report.read_text()
    assert read_json(run.folder / "bundle" / "manifest.json")["facts"]["stack"] == first
    assert first in (run.folder / "bundle" / "model_card.md").read_text()

    assert "prevalence: 0.05 -> 0.3" in run_on(run, "stack", "--prevalence", "0.3")
    run_on(run, "report")
    second, page = stack_digest(folder), report.read_text()
    assert second != first
    assert digests_of(run) == {second}
    assert 'class="tiles' not in page
    sentence = f"The galleries of this run are left out: they were made from another stack ({first[:8]}), and this page"
    assert f"{sentence} shows stack {second[:8]}. <code>melstack explain --run {run.folder}</code>" in page
    assert f"The bundle of this run is from another stack, {first[:8]} of recipe quick." in page
    assert "average precision at a prevalence of 30.0 %" in page
    card = (run.folder / "model_card.md").read_text()
    assert f"- Stack: digest {second} of recipe quick" in card
    assert f"`melstack stack --run {run.folder} --prevalence 0.3`" in card

    run_on(run, "explain")
    assert "galleries: fresh" in run_on(run, "explain")
    run_on(run, "report")
    page = report.read_text()
    assert 'class="tiles' in page
    assert "are left out: they" not in page
    assert read_json(folder / "explanations.json")["stack"] == second
    assert read_json(run.folder / "galleries" / "index.json")["stack"] == second
    output = run_melstack("verify", "--run", run.folder)
    assert output.code == 4  # the bundle is still that of the first stack
    assert re.findall(r"^stale +(\S+)", output.out, re.MULTILINE) == ["bundle.json"]
    assert "commands.jsonl" not in output.out
    assert "intact      galleries.json" in output.out
