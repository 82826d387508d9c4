"""Tests of the three formats of a table: escapes, balance, columns, and texts of numbers."""

import re
from pathlib import Path

import pandas as pd
import pytest

from melstack.report.paper.text_tables import (
    INDENT,
    PaperTable,
    count_and_share,
    escape_latex,
    figures,
    interval,
    p_value,
)

NAN = float("nan")


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("50 % & more", r"50 \% \& more"),
        ("rank_mean #1 $2", r"rank\_mean \#1 \$2"),
        (r"a\b{c}", r"a\textbackslash{}b\{c\}"),
        ("a<b>c~d^e|f", r"a\textless{}b\textgreater{}c\textasciitilde{}d\textasciicircum{}e\textbar{}f"),
        ("−0.1 – 0.2", r"$-$0.1 -- 0.2"),
        ("two\nlines", "two lines"),
    ],
)
def test_latex_interprets_no_sign_of_a_text(text: str, latex: str) -> None:
    assert escape_latex(text) == latex


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (interval(0.93341, 0.923, 0.94329), "0.9334 (0.9230 to 0.9433)"),
        (interval(-0.00131, -0.002, 0.0005, sign=True), "−0.0013 (−0.0020 to +0.0005)"),
        (interval(0.846, NAN, NAN, 3), "0.846"),
        (interval(NAN, NAN, NAN), "–"),
        (interval(None, None, None), "–"),
        (interval(0.0, 0.0, 0.0, sign=True), "0 (same ranks)"),
        (p_value(0.0004), "<0.001"),
        (p_value(0.0444), "0.044"),
        (p_value(NAN), "–"),
        (count_and_share(584, 33126), "584 (1.76 %)"),
        (count_and_share(0, 65), "0 (0.0 %)"),
        (count_and_share(3, 0), "3"),
        (figures(-0.25, 2), "−0.25"),
    ],
)
def test_numbers_are_written_as_a_paper_prints_them(texts: str, expected: str) -> None:
    assert texts == expected


def example(widths: tuple[float, ...] = ()) -> PaperTable:
    rows = [["a_b & c", "1 %"], [f"{INDENT}<script>|x|", "–"]]
    values = pd.DataFrame({"name": ["a", "b"], "value": [1 / 3, NAN]})
    return PaperTable("example", "Caption of 5 %.", ["", "Value_1"], rows, values, "Note: x < y.", widths)


def check_latex(text: str, columns: int) -> None:
    """Raise AssertionError unless braces and environments are balanced and every row has ``columns`` cells."""
    bare = re.sub(r"\\[{}\\&%$#_]", "", text.split("\n", 1)[1])
    depth = 0
    for sign in bare:
        depth += (sign == "{") - (sign == "}")
        assert depth >= 0
    assert depth == 0
    environments: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        assert kind == "begin" or environments.pop() == name
        environments += [name] * (kind == "begin")
    assert environments == []
    body = text.split(r"\toprule")[1].split(r"\bottomrule")[0]
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert rows
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {columns - 1}
    assert not re.search(r"(?<!\\)[#_%]", body)


@pytest.mark.parametrize("widths", [(), (0.4, 0.5)])
def test_latex_is_balanced_and_every_row_has_all_cells(widths: tuple[float, ...]) -> None:
    check_latex(example(widths).latex(), 2)


def test_tables_of_a_run_are_balanced_latex(stack) -> None:
    from melstack.report.paper.writing import paper_tables

    tables = paper_tables(stack)
    assert {table.name for table in tables} >= {"table1", "leaderboard", "paired_tests", "subgroups", "measures"}
    for table in tables:
        assert {len(row) for row in table.rows} == {len(table.head)}, table.name
        check_latex(table.latex(), len(table.head))


def test_markdown_shows_texts_of_the_data_as_they_are() -> None:
    text = example().markdown()
    assert r"| &nbsp;&nbsp;&lt;script&gt;\|x\| | – |" in text
    assert text.startswith("**Caption of 5 %.**\n\n|  | Value_1 |\n|---|---:|\n")
    assert text.endswith("Note: x &lt; y.\n")


def test_csv_has_every_digit(tmp_path: Path) -> None:
    paths = example().write(tmp_path)
    assert [path.suffix for path in paths] == [".csv", ".tex", ".md"]
    assert pd.read_csv(tmp_path / "example.csv")["value"][0] == 1 / 3
