"""Tests of the page for one patient in a headless browser: pictures in, lesions out, downloads, faults, keyboard."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from melstack.bundle.serving.limits import Limits
from tests.melstack.bundle.serving.doubles import PageServer, expected, jpeg

pytestmark = pytest.mark.full
PICTURES = {
    "left_arm.jpg": 170,
    "a_name_without_a_place_to_break_that_goes_on_and_on_and_on.jpg": 20,
    "<b onclick=1>back.jpg": 150,
}


@pytest.fixture(scope="module")
def running() -> Iterator[PageServer]:
    with PageServer(Limits(pictures=4)) as started:
        yield started


class Opened:
    """A page of the browser, with what its console said and what it asked for."""

    def __init__(self, browser: Any, running: PageServer, width: int = 1440, scheme: str = "light") -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.said, self.asked = [], []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(running.address)

    def choose(self, pictures: dict[str, bytes]) -> None:
        kind = "application/octet-stream"
        chosen = [{"name": name, "mimeType": kind, "buffer": content} for name, content in pictures.items()]
        self.page.set_input_files("#chooser", chosen)

    def predict(self) -> None:
        self.page.click("#predict")
        self.page.wait_for_selector(".lesion")


@pytest.fixture
def opened(browser: Any, running: PageServer) -> Iterator[Opened]:
    found = Opened(browser, running)
    yield found
    found.page.close()


def drawn() -> dict[str, bytes]:
    return {name: jpeg(shade, (400, 300)) for name, shade in PICTURES.items()}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_lesions_are_answered_without_an_error_a_stranger_or_anything_too_wide(
    browser: Any, running: PageServer, width: int, scheme: str
) -> None:
    opened = Opened(browser, running, width, scheme)
    assert opened.page.evaluate("document.documentElement.scrollWidth") == width
    opened.choose(drawn())
    opened.page.fill("#age", "61")
    opened.predict()
    assert opened.said == []
    own = (running.address, f"blob:{running.address}", "data:")
    assert [url for url in opened.asked if not url.startswith(own)] == []
    assert opened.page.evaluate("document.documentElement.scrollWidth") == width
    assert opened.page.locator("text=Not a medical device").first.is_visible()
    opened.page.goto(f"{running.address}/docs")
    assert opened.page.evaluate("document.documentElement.scrollWidth") == width
    assert opened.said == []
    opened.page.close()


def test_cards_are_ordered_by_risk_and_names_are_shown_as_they_are(opened: Opened) -> None:
    opened.choose(drawn())
    opened.page.select_option("#site", "torso")
    opened.predict()
    names = opened.page.locator(".lesion h3").all_text_contents()
    assert names == sorted(PICTURES, key=PICTURES.__getitem__)
    first = opened.page.locator(".lesion").first
    assert f"{100 * expected(20, torso=True):.1f} %" in first.locator(".lesion-value").text_content()
    assert first.locator(".tags").text_content() == "1 of 3 of this patienthighestugly ducklingnotice"
    assert "Site: torso" in first.text_content()
    assert "3 lesions predicted. Highest: a_name" in opened.page.text_content("#summary")


def test_the_overlay_is_put_on_and_off_by_keyboard_alone(opened: Opened) -> None:
    opened.choose({"a.jpg": jpeg(90)})
    opened.page.focus("#predict")
    opened.page.keyboard.press("Enter")
    opened.page.wait_for_selector(".lesion")
    source = "document.querySelector('.lesion img').src"
    before = opened.page.evaluate(source)
    opened.page.focus(".look button")
    opened.page.keyboard.press("Space")
    assert opened.page.evaluate(source) != before
    assert opened.page.get_attribute(".look button", "aria-pressed") == "true"
    opened.page.keyboard.press("Space")
    assert opened.page.evaluate(source) == before


def test_csv_and_pdf_are_downloaded(opened: Opened, tmp_path: Path) -> None:
    opened.choose(drawn())
    opened.predict()
    for kind in ("csv", "pdf"):
        with opened.page.expect_download() as waited:
            opened.page.click(f"#{kind}")
        waited.value.save_as(tmp_path / f"lesions.{kind}")
    rows = list(csv.DictReader((tmp_path / "lesions.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == sorted(PICTURES, key=PICTURES.__getitem__)
    assert (tmp_path / "lesions.pdf").read_bytes().startswith(b"%PDF-")
    assert opened.said == []


def test_a_fault_is_said_and_its_picture_marked_and_the_page_goes_on_without_it(opened: Opened) -> None:
    opened.choose({"good.jpg": jpeg(90), "cut.jpg": jpeg(90)[:-30]})
    opened.page.click("#predict")
    opened.page.wait_for_selector("#error:not([hidden])")
    assert "cut.jpg: cut off" in opened.page.text_content("#error")
    assert opened.page.locator(".tile.fault .tile-name").all_text_contents() == ["cut.jpg"]
    opened.page.get_by_role("button", name="Remove cut.jpg").click()
    opened.predict()
    assert opened.page.locator("#error").is_hidden()


def test_an_age_that_is_none_is_said_at_its_field(opened: Opened) -> None:
    opened.choose({"good.jpg": jpeg(90)})
    opened.page.fill("#age", "two hundred")
    opened.page.click("#predict")
    opened.page.wait_for_selector("#error:not([hidden])")
    assert "number of years" in opened.page.text_content("#error")
    assert opened.page.get_attribute("#age", "aria-invalid") == "true"


def test_too_many_pictures_and_empty_ones_are_left_out_with_a_sentence(opened: Opened) -> None:
    opened.choose({f"{number}.jpg": jpeg(number) for number in range(6)} | {"none.jpg": b""})
    assert opened.page.locator("#chosen .tile").count() == 4
    assert "left out: 4.jpg, 5.jpg" in opened.page.text_content("#error")
    assert "none.jpg: the file is empty" in opened.page.text_content("#error")


def test_starting_over_leaves_nothing_of_the_patient(opened: Opened) -> None:
    opened.choose(drawn())
    opened.page.fill("#age", "61")
    opened.predict()
    opened.page.click("#clear")
    assert opened.page.locator(".lesion").count() == 0
    assert opened.page.locator("#chosen .tile").count() == 0
    assert opened.page.input_value("#age") == ""
    assert opened.page.locator("#predict").is_disabled()
