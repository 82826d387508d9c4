"""A table of a paper in three formats: CSV with every digit, and LaTeX (booktabs) and Markdown to be read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from melstack.report.formats import is_known, number, with_sign
from melstack.report.model_card.writing import escape_markdown, records
from runtime.files import write_text

INDENT = "  "  # begins the name of a row that belongs to the row above it
LATEX_SIGNS = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "−": r"$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "–": "--",
    "…": r"\ldots{}",
}
LATEX_HEAD = r"% Preamble: \usepackage[T1]{fontenc} \usepackage{booktabs} \usepackage{adjustbox,array,longtable}"


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper: ``head`` and ``rows`` are texts, ``values`` the same numbers with every digit.

    The first column names the rows; a name that begins with `INDENT` belongs to the row above it. ``widths``: the
    columns are texts of several lines and have these shares of a page; such a table may be longer than a page.
    """

    name: str
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    values: pd.DataFrame
    note: str = ""
    widths: Sequence[float] = ()

    def write(self, folder: Path) -> list[Path]:
        """Write ``<name>.csv``, ``<name>.tex`` and ``<name>.md`` into ``folder``; return their paths."""
        texts = {"csv": self.values.to_csv(index=False), "tex": self.latex(), "md": self.markdown()}
        for suffix, text in texts.items():
            write_text(folder / f"{self.name}.{suffix}", text)
        return [folder / f"{self.name}.{suffix}" for suffix in texts]

    def markdown(self) -> str:
        """Return the table as Markdown: caption, table, note; texts are escaped."""
        others = "---" if self.widths else "---:"
        columns = "|".join(["---", *[others] * (len(self.head) - 1)])
        lines = [_markdown_row(self.head), f"|{columns}|", *(_markdown_row(row) for row in self.rows)]
        note = f"\n{escape_markdown(self.note)}\n" if self.note else ""
        return f"**{escape_markdown(self.caption)}**\n\n" + "\n".join(lines) + "\n" + note

    def latex(self) -> str:
        """Return the table as a LaTeX float with the rules of booktabs; texts are escaped.

        It is made narrower only where it is wider than the line.
        """
        note = escape_latex(self.note)
        rows = [r"\toprule", _latex_row(self.head), r"\midrule", *map(_latex_row, self.rows), r"\bottomrule"]
        caption = rf"\caption{{{escape_latex(self.caption)}}}\label{{tab:{self.name}}}"
        lines = _long_table(rows, caption, note, self.widths) if self.widths else self._float(rows, caption, note)
        return "\n".join([LATEX_HEAD, *lines]) + "\n"

    def _float(self, rows: list[str], caption: str, note: str) -> list[str]:
        return [
            r"\begin{table}[htbp]",
            r"\centering",
            caption,
            r"\footnotesize",
            r"\begin{adjustbox}{max width=\linewidth}",
            rf"\begin{{tabular}}{{l{'r' * (len(self.head) - 1)}}}",
            *rows,
            r"\end{tabular}",
            r"\end{adjustbox}",
            *([rf"\par\smallskip\parbox{{\linewidth}}{{\footnotesize {note}}}"] if note else []),
            r"\end{table}",
        ]


def _long_table(rows: list[str], caption: str, note: str, widths: Sequence[float]) -> list[str]:
    """Return a table that continues on further pages, with its head on each."""
    columns = "".join(rf">{{\raggedright\arraybackslash}}p{{{width:g}\linewidth}}" for width in widths)
    top, head, rule, *others = rows
    return [
        r"{\footnotesize",
        rf"\begin{{longtable}}{{{columns}}}",
        rf"{caption}\\",
        *(top, head, rule, r"\endhead"),
        *others,
        r"\end{longtable}",
        *([rf"\noindent {note}\par"] if note else []),
        "}",
    ]


def escape_latex(text: str) -> str:
    """Return ``text`` with every sign escaped that LaTeX interprets; line breaks become spaces."""
    return "".join(LATEX_SIGNS.get(sign, sign) for sign in " ".join(text.split()))


def rows_by_name(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return name (the index) -> row of ``table``."""
    return {str(name): row for name, row in zip(table.index, records(table), strict=True)}


def figures(value: float | None, digits: int = 4) -> str:
    """Return ``value`` with ``digits`` decimals and a minus sign as printers set it, or a dash."""
    return number(value, digits).replace("-", "−")


def interval(value: float | None, low: float | None, high: float | None, digits: int = 4, *, sign: bool = False) -> str:
    """Return ``value (low to high)``, the value alone without limits, or a dash without a value."""
    text = with_sign if sign else figures
    if not (is_known(low) and is_known(high)):
        return text(value, digits)
    if sign and value == low == high == 0:
        return "0 (same ranks)"
    return f"{text(value, digits)} ({text(low, digits)} to {text(high, digits)})"


def p_value(p: float) -> str:
    """Return a p value with three decimals, small ones as "<0.001", or a dash."""
    return "<0.001" if p < 0.001 else number(p, 3)


def count_and_share(count: float, of: float) -> str:
    """Return ``count (share %)`` with one decimal, two below 10 %; only the count without a whole."""
    if not of:
        return f"{int(count):,}"
    share = 100 * count / of
    return f"{int(count):,} ({share:.{2 if 0 < share < 10 else 1}f} %)"


def _markdown_row(row: Sequence[str]) -> str:
    first, *others = row
    name = "&nbsp;&nbsp;" * first.startswith(INDENT) + str(escape_markdown(first.strip()))
    return "| " + " | ".join([name, *(str(escape_markdown(cell)) for cell in others)]) + " |"


def _latex_row(row: Sequence[str]) -> str:
    first, *others = row
    name = r"\quad " * first.startswith(INDENT) + escape_latex(first)
    return " & ".join([name, *(escape_latex(cell) for cell in others)]) + r" \\"
