"""The answer for one patient as a PDF to print: pictures, probabilities with their ranges, reasons and notices."""

import base64
import io
import math
from collections.abc import Sequence

from fpdf import FPDF

from melstack.bundle.serving.answer_models import DISCLAIMER, Answer, LesionAnswer, Part
from runtime.plural import number_of

TILE, GAP, MARGIN = 38.0, 4.0, 16.0  # mm
INK, QUIET, LINE, FIRST, WARN = (21, 26, 35), (93, 103, 120), (227, 231, 238), (47, 91, 234), (147, 90, 0)
LEAST = 0.001  # the axis of log odds ends at this probability and at 1 minus this
TICKS = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99)
MOST_PARTS = 3  # contributions that raise the probability, and as many that lower it


class _Page(FPDF):
    """An A4 page with the disclaimer and the page number in its footer."""

    def footer(self) -> None:
        """Write the footer."""
        self.set_y(-MARGIN + 3)
        write(self, f"{DISCLAIMER}   {self.page_no()}/{{nb}}", 8, QUIET, align="C")


def render_pdf(answer: Answer) -> bytes:
    """Return ``answer`` as A4 pages; characters that the built-in fonts lack become question marks."""
    pdf = _Page(format="A4")
    pdf.set_margins(MARGIN, MARGIN)
    pdf.set_auto_page_break(True, margin=MARGIN + 4)
    pdf.set_title("Melanoma probability")
    pdf.add_page()
    write(pdf, "Melanoma probability", 18, INK, bold=True)
    write(pdf, _patient_lines(answer), 9, QUIET)
    write(pdf, DISCLAIMER, 10, WARN, bold=True)
    for lesion in answer.lesions:
        _draw_lesion(pdf, lesion)
    return bytes(pdf.output())


def write(
    pdf: FPDF, text: str, size: float, colour: tuple[int, int, int], *, bold: bool = False, align: str = "L"
) -> None:
    """Write ``text`` of ``size`` points in RGB ``colour`` up to the right margin, and move below it."""
    pdf.set_font("Helvetica", "B" if bold else "", size)
    pdf.set_text_color(*colour)
    plain = text.encode("latin-1", "replace").decode("latin-1")
    pdf.multi_cell(0, size * 0.48, plain, new_x="LEFT", new_y="NEXT", align=align)


def _patient_lines(answer: Answer) -> str:
    age = "not given" if answer.age is None else f"{answer.age:g}"
    ids = {"patient": answer.patient_id, "reference": answer.reference}
    own = [f"{name} {value}" for name, value in ids.items() if value]
    return "\n".join(
        [
            ", ".join([f"Predicted {answer.time.replace('T', ' ').replace('+00:00', ' UTC')}", *own]),
            f"Model {answer.model.name}, bundle {answer.model.digest or 'without digest'}",
            f"Patient: age {age}, sex {answer.sex or 'not given'}, {number_of(len(answer.lesions), 'picture')}",
        ]
    )


def _draw_lesion(pdf: FPDF, lesion: LesionAnswer) -> None:
    if pdf.get_y() + TILE + 12 > pdf.h - MARGIN:
        pdf.add_page()
    top, page, x = pdf.get_y() + GAP, pdf.page_no(), MARGIN
    pdf.set_draw_color(*LINE)
    pdf.line(MARGIN, top - 1.5, pdf.w - MARGIN, top - 1.5)
    for uri in (lesion.thumbnail, lesion.heat_map):
        if uri is not None:
            pdf.image(_picture(uri), x=x, y=top + 1, w=TILE, h=TILE, keep_aspect_ratio=True)
            x += TILE + GAP
    pdf.set_xy(x, top)
    write(pdf, f"{lesion.rank}. {lesion.name}", 11, INK, bold=True)
    write(pdf, f"{_percent(lesion.probability)}  (fold models {_range(lesion)})", 12, FIRST, bold=True)
    _draw_axis(pdf, lesion, x)
    pdf.set_xy(x, pdf.get_y())
    write(pdf, _sentences(lesion), 8.5, INK)
    if lesion.no_heat_map:
        write(pdf, lesion.no_heat_map, 8.5, QUIET)
    if lesion.notices:
        write(pdf, "\n".join(lesion.notices), 8.5, WARN)
    if pdf.page_no() == page:
        pdf.set_y(max(pdf.get_y(), top + TILE + 1))
    pdf.set_x(MARGIN)


def _draw_axis(pdf: FPDF, lesion: LesionAnswer, x: float) -> None:
    """Draw the probability and the range of the fold models on an axis of log odds that starts at ``x`` mm."""
    width, y = pdf.w - MARGIN - x, pdf.get_y() + 3
    pdf.set_fill_color(*LINE)
    pdf.rect(x, y - 0.5, width, 1, "F")
    low, middle, high = (x + width * _position(value) for value in (lesion.low, lesion.probability, lesion.high))
    pdf.set_fill_color(151, 173, 244)
    pdf.rect(low, y - 0.8, high - low, 1.6, "F")
    pdf.set_fill_color(*FIRST)
    pdf.ellipse(middle - 1.3, y - 1.3, 2.6, 2.6, "F")
    pdf.set_font("Helvetica", "", 6.5)
    pdf.set_text_color(*QUIET)
    for tick in TICKS:
        pdf.text(min(x + width * _position(tick), pdf.w - MARGIN - 5), y + 4.2, f"{100 * tick:g} %")
    pdf.set_y(y + 5.5)


def _position(probability: float) -> float:
    """Return the position of a probability on the axis, 0 to 1."""
    visible = min(max(probability, LEAST), 1 - LEAST)
    end = math.log((1 - LEAST) / LEAST)
    return (math.log(visible / (1 - visible)) + end) / (2 * end)


def _sentences(lesion: LesionAnswer) -> str:
    networks = ", ".join(
        f"{network.words} {_percent(network.probability)}"
        for network in lesion.networks
        if network.probability is not None
    )
    return "\n".join(
        [
            f"Rank {lesion.rank} of {lesion.pictures} pictures of this patient; site {lesion.site or 'not given'}",
            *([f"Predicted at the thresholds: {_list_decisions(lesion)}"] if lesion.decisions else []),
            f"Raising the probability (log odds): {_list_parts(lesion.raising)}",
            f"Lowering it: {_list_parts(lesion.lowering)}",
            *([f"Left empty: {_list_empty(lesion)}"] if lesion.left_empty else []),
            *([f"Networks: {networks}"] if networks else []),
        ]
    )


def _list_decisions(lesion: LesionAnswer) -> str:
    return ", ".join(f"{each.name} {'malignant' if each.malignant else 'benign'}" for each in lesion.decisions)


def _list_parts(parts: Sequence[Part]) -> str:
    return "; ".join(f"{part.words} {part.log_odds:+.2f}" for part in parts[:MOST_PARTS]) or "nothing"


def _list_empty(lesion: LesionAnswer) -> str:
    return "; ".join(f"{each.field} {each.log_odds:+.2f}" for each in lesion.left_empty)


def _range(lesion: LesionAnswer) -> str:
    return f"{_percent(lesion.low)} to {_percent(lesion.high)}"


def _percent(probability: float) -> str:
    return f"{100 * probability:.{1 if probability >= 0.01 else 2}f} %"


def _picture(uri: str) -> io.BytesIO:
    return io.BytesIO(base64.b64decode(uri.partition(",")[2]))
