"""Tests of the networks that a stack may use."""

from pathlib import Path

import pytest

from level2_stack.networks_to_stack import left_out, networks_to_stack
from runtime.run_folder import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a run with two networks that were trained in it, and two that were imported."""
    for name in ("own_a", "own_b", "brought_a", "brought_b"):
        folder = tmp_path / "level1" / name
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}")
        if name.startswith("own"):
            (folder / "begun.json").write_text("{}")
    return Run(tmp_path)


@pytest.mark.parametrize(
    ("models", "has_foreign", "networks"),
    [
        ([], True, None),
        ([], False, ["own_a", "own_b"]),
        (["own_a"], True, ["brought_a", "brought_b", "own_a"]),
        (["own_a"], False, ["own_a"]),
        (["own_a", "brought_b"], True, ["brought_b", "own_a"]),
        (["brought_a"], True, ["brought_a"]),
    ],
)
def test_only_the_named_networks_are_stacked(
    run: Run, models: list[str], has_foreign: bool, networks: list[str] | None
) -> None:
    assert networks_to_stack(run, models, has_foreign=has_foreign) == networks


def test_every_network_that_is_left_out_is_named_with_the_option_that_adds_it(run: Run) -> None:
    sentences = list(left_out(run, ["own_a"], has_foreign=False))
    assert sentences == [
        "brought_a is left out: it was imported earlier; --foreign folder imports it again",
        "brought_b is left out: it was imported earlier; --foreign folder imports it again",
        "own_b is left out: --models does not name it",
    ]
    assert list(left_out(run, None, has_foreign=True)) == []
