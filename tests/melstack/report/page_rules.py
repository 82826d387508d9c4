"""Rules of all pages: one style sheet, axes on every chart, columns in words, one wording; each returns the faults."""

import re
from collections.abc import Callable, Iterator

from melstack.report.column_words import METADATA, PATIENT, PICTURES
from melstack.report.rendering import shared_text

DISCLAIMER = (
    "<strong>Not a medical device.</strong> For research only: do not base decisions about a patient on this page."
)
LOOKS = re.compile(r"#[0-9a-fA-F]{6}\b|\brgba?\(|\bhsl\(|font-family|font-size|\bfont:|\bcolor:|@media")
INLINE = re.compile(r'style="(?!--heat:)[^"]*"')
RAW_NAMES = sorted(name for name in {*METADATA, *PATIENT, *PICTURES} if "_" in name)
RAW_NAME = re.compile(rf"(?<![\w.-])(?:\w+\.)?(?:{'|'.join(RAW_NAMES)})(?:_z)?(?!\w)")
FAMILY = re.compile(r"(?<![\w.-])(?:logit|spread|level|difference|zscore|rank|share|measured|ugly_duckling)\.\w+")


def style_faults(page: str) -> Iterator[str]:
    """Yield what sets colours, fonts or sizes outside the style sheet that all pages share."""
    styles = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    if styles != [shared_text("style.css")]:
        yield f"{len(styles)} style elements, or one that is not the style sheet of all pages"
    rest = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    yield from (f"style outside the style sheet: {each}" for each in [*INLINE.findall(rest), *LOOKS.findall(rest)])


def chart_faults(page: str) -> Iterator[str]:
    """Yield charts without ticks and a label on both axes, and bars on a page that has no scale for them."""
    for chart in re.findall(r'<svg class="chart".*?</svg>', page, re.DOTALL):
        name = re.findall(r'aria-label="([^"]*)"', chart)[0]
        labels = [text for text in re.findall(r'class="label"[^>]*>([^<]*)<', chart) if text.strip()]
        across = re.findall(r'class="tick" y="274"[^>]*>[^<]+<', chart)
        up = re.findall(r'class="tick" x="50"[^>]*>[^<]+<', chart)
        if len(labels) != 2 or len(across) < 2 or len(up) < 2:
            yield f"{name}: {len(labels)} labels, {len(across)} and {len(up)} ticks"
    for table in re.findall(r"<table.*?</table>", page, re.DOTALL):
        if re.search(r'<svg class="(interval|bar)', table) and 'class="scale"' not in table:
            yield f"bars without a scale: {table[:200]}"
    for row in re.findall(r"<tr.*?</tr>", page, re.DOTALL):
        if "too few for an AUC" in row and "<circle" in row:
            yield f"a point for an AUC of too few pictures: {row[:200]}"


def word_faults(page: str) -> Iterator[str]:
    """Yield raw names of columns in the text that a reader sees, except those beside their words, and settings."""
    text = re.sub(r"<(script|style|code|pre)\b.*?</\1>", " ", page, flags=re.DOTALL)
    text = re.sub(r'<div class="heading" id="origins">.*', " ", text, flags=re.DOTALL)
    text = re.sub(
        r'<span class="raw">.*?</span>|<details class="panel"><summary>Model card.*?</details>',
        " ",
        text,
        flags=re.DOTALL,
    )
    text = re.sub(r"<[^>]*>", " ", text)
    yield from sorted({*RAW_NAME.findall(text), *FAMILY.findall(text)})


def disclaimer_faults(page: str) -> Iterator[str]:
    """Yield that the page does not end with the sentence that all pages have."""
    if DISCLAIMER not in page.partition("<footer>")[2]:
        yield "the footer lacks the disclaimer of all pages"


RULES: tuple[Callable[[str], Iterator[str]], ...] = (style_faults, chart_faults, word_faults, disclaimer_faults)


def faults_of(page: str) -> list[str]:
    """Return all faults of ``page``."""
    return [fault for rule in RULES for fault in rule(page)]
