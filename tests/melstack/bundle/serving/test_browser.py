"""Tests of the page for one patient in a headless browser: predictions, downloads, errors, keyboard."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from melstack.bundle.serving.limits import Limits
from tests.melstack.bundle.serving.doubles import PageServer, expected_probability, jpeg

pytestmark = pytest.mark.full
PICTURES = {
    "left_arm.jpg": 170,
    "a_name_without_a_place_to_break_that_goes_on_and_on_and_on.jpg": 20,
    "<b onclick=1>back.jpg": 150,
}


@pytest.fixture(scope="module")
def server() -> Iterator[PageServer]:
    with PageServer(Limits(pictures=4)) as page_server:
        yield page_server


class BrowserTab:
    """A tab of the browser, with its console messages and the URLs that it requested."""

    def __init__(self, browser: Any, server: PageServer, width: int = 1440, scheme: str = "light") -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.messages, self.urls = [], []
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("request", lambda request: self.urls.append(request.url))
        self.page.goto(server.address)

    def choose(self, pictures: dict[str, bytes]) -> None:
        kind = "application/octet-stream"
        uploads = [{"name": name, "mimeType": kind, "buffer": content} for name, content in pictures.items()]
        self.page.set_input_files("#chooser", uploads)

    def predict(self) -> None:
        self.page.click("#predict")
        self.page.wait_for_selector(".lesion")


@pytest.fixture
def tab(browser: Any, server: PageServer) -> Iterator[BrowserTab]:
    new_tab = BrowserTab(browser, server)
    yield new_tab
    new_tab.page.close()


def grey_pictures() -> dict[str, bytes]:
    return {name: jpeg(shade, (400, 300)) for name, shade in PICTURES.items()}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_a_prediction_needs_no_other_server_and_fits_the_window_without_errors(
    browser: Any, server: PageServer, width: int, scheme: str
) -> None:
    tab = BrowserTab(browser, server, width, scheme)
    assert tab.page.evaluate("document.documentElement.scrollWidth") == width
    tab.choose(grey_pictures())
    tab.page.fill("#age", "61")
    tab.predict()
    assert tab.messages == []
    own = (server.address, f"blob:{server.address}", "data:")
    assert [url for url in tab.urls if not url.startswith(own)] == []
    assert tab.page.evaluate("document.documentElement.scrollWidth") == width
    assert tab.page.locator("text=Not a medical device").first.is_visible()
    tab.page.goto(f"{server.address}/docs")
    assert tab.page.evaluate("document.documentElement.scrollWidth") == width
    assert tab.messages == []
    tab.page.close()


def test_cards_are_ordered_by_probability_and_names_are_escaped(tab: BrowserTab) -> None:
    tab.choose(grey_pictures())
    tab.page.select_option("#site", "torso")
    tab.predict()
    names = tab.page.locator(".lesion h3").all_text_contents()
    assert names == sorted(PICTURES, key=PICTURES.__getitem__)
    first = tab.page.locator(".lesion").first
    assert f"{100 * expected_probability(20, torso=True):.1f} %" in first.locator(".lesion-value").text_content()
    assert first.locator(".tags").text_content() == "rank 1 of 3 in this patienthighestugly ducklingnotice"
    assert "Site: torso" in first.text_content()
    assert "3 lesions predicted. Highest: a_name" in tab.page.text_content("#summary")


def test_the_overlay_is_switched_by_keyboard(tab: BrowserTab) -> None:
    tab.choose({"a.jpg": jpeg(90)})
    tab.page.focus("#predict")
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_selector(".lesion")
    source = "document.querySelector('.lesion img').src"
    before = tab.page.evaluate(source)
    tab.page.focus(".look button")
    tab.page.keyboard.press("Space")
    tab.page.wait_for_selector('.look button[aria-pressed="true"]')  # the heat map is computed when it is asked for
    assert tab.page.evaluate(source) != before
    tab.page.keyboard.press("Space")
    assert tab.page.evaluate(source) == before


def test_a_heat_map_with_nothing_to_show_says_why(tab: BrowserTab) -> None:
    tab.choose({"white.jpg": jpeg(255)})
    tab.predict()
    tab.page.click(".look button")
    tab.page.wait_for_selector(".look .note:has-text('No heat map')")
    assert tab.page.locator(".look button").count() == 0


def test_csv_and_pdf_are_downloaded(tab: BrowserTab, tmp_path: Path) -> None:
    tab.choose(grey_pictures())
    tab.predict()
    for kind in ("csv", "pdf"):
        with tab.page.expect_download() as download:
            tab.page.click(f"#{kind}")
        download.value.save_as(tmp_path / f"lesions.{kind}")
    rows = list(csv.DictReader((tmp_path / "lesions.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == sorted(PICTURES, key=PICTURES.__getitem__)
    assert (tmp_path / "lesions.pdf").read_bytes().startswith(b"%PDF-")
    assert tab.messages == []


def test_a_damaged_picture_is_marked_and_can_be_removed(tab: BrowserTab) -> None:
    tab.choose({"good.jpg": jpeg(90), "cut.jpg": jpeg(90)[:-30]})
    tab.page.click("#predict")
    tab.page.wait_for_selector("#error:not([hidden])")
    assert "cut.jpg: cut off" in tab.page.text_content("#error")
    assert tab.page.locator(".tile.fault .tile-name").all_text_contents() == ["cut.jpg"]
    tab.page.get_by_role("button", name="Remove cut.jpg").click()
    tab.predict()
    assert tab.page.locator("#error").is_hidden()


def test_an_invalid_age_is_reported_at_its_field(tab: BrowserTab) -> None:
    tab.choose({"good.jpg": jpeg(90)})
    tab.page.fill("#age", "two hundred")
    tab.page.click("#predict")
    tab.page.wait_for_selector("#error:not([hidden])")
    assert "number of years" in tab.page.text_content("#error")
    assert tab.page.get_attribute("#age", "aria-invalid") == "true"


def test_excess_and_empty_pictures_are_left_out_with_a_sentence(tab: BrowserTab) -> None:
    tab.choose({f"{number}.jpg": jpeg(number) for number in range(6)} | {"none.jpg": b""})
    assert tab.page.locator("#chosen .tile").count() == 4
    assert "left out: 4.jpg, 5.jpg" in tab.page.text_content("#error")
    assert "none.jpg: the file is empty" in tab.page.text_content("#error")


def test_start_over_removes_all_data_of_the_patient(tab: BrowserTab) -> None:
    tab.choose(grey_pictures())
    tab.page.fill("#age", "61")
    tab.predict()
    tab.page.click("#clear")
    assert tab.page.locator(".lesion").count() == 0
    assert tab.page.locator("#chosen .tile").count() == 0
    assert tab.page.input_value("#age") == ""
    assert tab.page.locator("#predict").is_disabled()
