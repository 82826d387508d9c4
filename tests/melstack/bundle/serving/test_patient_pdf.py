"""Tests of the PDF of one patient: it is a valid PDF with two images per lesion, for any file name."""

import re

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("fpdf", reason="the extra serve is not installed")

from melstack.bundle.serving.limits import Limits
from tests.melstack.bundle.serving.doubles import DarknessPredictor, PageClient, files, jpeg


def pdf(*names: str) -> bytes:
    client = PageClient(DarknessPredictor(), Limits())
    pictures = files(*[jpeg(10 * number, (120, 80)) for number in range(len(names))], names=names)
    response = client.post("/v1/predict.pdf", files=pictures, data={"age": "61", "sex": "male"})
    assert response.headers["content-type"] == "application/pdf"
    assert response.status_code == 200
    return response.content


def test_a_pdf_has_a_picture_and_an_overlay_per_lesion_on_several_pages() -> None:
    content = pdf(*[f"{number}.jpg" for number in range(9)])
    assert content.startswith(b"%PDF-")
    assert len(re.findall(rb"/Subtype\s*/Image", content)) == 18
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 4


@pytest.mark.parametrize("name", ["母斑.jpg", "a" * 300, "**bold** (x) \\ <b>.jpg", "‮gpj.exe"])
def test_any_file_name_gives_a_valid_pdf(name: str) -> None:
    assert pdf(name).startswith(b"%PDF-")
