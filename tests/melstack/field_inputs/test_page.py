"""Tests that docs/field_inputs.md and the situations in this folder are the same, and that every row says something."""

from importlib import import_module
from pathlib import Path

from tests.melstack.field_inputs.situation import Situation, rows_of_page


def situations_of_tests() -> dict[str, Situation]:
    """Return the SITUATIONS of every test file of this folder."""
    modules = [import_module(f"{__package__}.{path.stem}") for path in sorted(Path(__file__).parent.glob("test_*.py"))]
    tables = [module.SITUATIONS for module in modules if hasattr(module, "SITUATIONS")]
    names = [name for table in tables for name in table]
    assert len(set(names)) == len(names), sorted(names)
    return {name: situation for table in tables for name, situation in table.items()}


def test_the_page_and_the_tests_have_the_same_situations() -> None:
    assert set(situations_of_tests()) == set(rows_of_page())


def test_every_row_of_the_page_quotes_what_is_said() -> None:
    assert [name for name, row in rows_of_page().items() if not row.sentences] == []
