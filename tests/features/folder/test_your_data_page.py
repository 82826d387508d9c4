"""Tests that docs/your_data.md lists every setting of a mapping, every name of a column, and every public data set."""

import re

from features.folder.column_names import GROUPS
from features.folder.layout import Columns, Layout
from features.folder.public_sets.recognise import public_sets
from tests.sources import ROOT

PAGE = (ROOT / "docs" / "your_data.md").read_text(encoding="utf-8")


def test_the_page_lists_every_setting_of_a_mapping() -> None:
    keys = {key for row in re.findall(r"^\| (`[^|]+) \|", PAGE, re.MULTILINE) for key in re.findall(r"`(\w+)`", row)}
    assert keys == set(Layout.model_fields) | set(Columns.model_fields)


def test_the_page_lists_every_usual_name_of_a_column() -> None:
    words = {word.casefold() for word in re.findall(r"\w+", PAGE)}
    assert [name for group in GROUPS for name in group if name not in words] == ["lesionid"]


def test_the_page_lists_every_public_set() -> None:
    assert [each.name for each in public_sets() if each.name.removeprefix("SIIM-") not in PAGE] == []
