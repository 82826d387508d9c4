"""Tests of the pages in a headless browser: no error, nothing loaded, nothing too wide, slider and sorting work."""

from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from features.clinic.folder import draw_clinic
from features.folder.layout import Request
from features.freeze_cases import freeze_cases
from melstack.report.data_page.page import explore
from melstack.report.run_page.page import make_report
from runtime.files import write_json
from runtime.run_folder import Run
from tests.melstack.report.written_runs import write_run

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    run = write_run(
        tmp_path_factory.mktemp("runs") / "a_run_with_a_rather_long_name_that_has_no_place_to_break", pictures=True
    )
    history = "epoch,loss,seconds,validation_auc\n1,0.7,30,0.6\n2,0.5,30,0.8\n"
    for fold in range(5):
        (run.level1 / "net_a" / f"fold_{fold}").mkdir()
        (run.level1 / "net_a" / f"fold_{fold}" / "history.csv").write_text(history)
    (run.folder / "galleries").mkdir()
    Image.new("RGB", (192, 128), "brown").save(run.folder / "galleries" / "a.jpg")
    item = {
        "image_name": "ISIC_0000001",
        "picture": "a.jpg",
        "overlay": "a.jpg",
        "scores": {"stack": 0.1},
        "ugly": True,
    }
    galleries = [{"name": kind, "kind": kind, "title": kind, "items": [item] * 4} for kind in ("cases", "board")]
    write_json(run.folder / "galleries" / "index.json", {"galleries": galleries})
    finding = {"what": "patients in both train and test", "count": 7, "names": [f"patient_{n}" for n in range(7)]}
    write_json(run.folder / "leaks.json", {"findings": [finding | {"severity": "stop", "done": "correct patient_id"}]})
    return make_report(run, "default").as_uri()


@pytest.fixture(scope="module")
def exploration(tmp_path_factory: pytest.TempPathFactory) -> str:
    run = Run(tmp_path_factory.mktemp("runs") / "explored")
    folder = tmp_path_factory.mktemp("clinic")
    draw_clinic(folder, train=40, test=12, seed=0)
    freeze_cases(run, Request(folder, folds=2))
    return explore(run).as_uri()


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(address)
    yield page
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("shown", ["address", "exploration"])
def test_a_page_opens_without_an_error_and_nothing_stands_out_sideways(
    browser: Any, request: pytest.FixtureRequest, shown: str, width: int, scheme: str
) -> None:
    address = request.getfixturevalue(shown)
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [address]
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.close()


def test_the_slider_moves_every_number_and_the_confusion_table_adds_up(opened: Any) -> None:
    names = ("sensitivity", "specificity", "ppv", "threshold-value", "sentence")
    before = {name: opened.text_content(f"#{name}") for name in names}
    opened.locator("#slider").fill("90")
    after = {name: opened.text_content(f"#{name}") for name in names}
    assert all(before[name] != after[name] for name in names)
    cells = {name: int(opened.text_content(f"#{name}")) for name in ("caught", "missed", "alarms", "spared")}
    assert sum(cells.values()) == 100
    sensitivity = 100 * cells["caught"] / (cells["caught"] + cells["missed"])
    assert after["sensitivity"] == f"{sensitivity:.1f} %"


def test_the_slider_moves_the_marker_of_every_curve(opened: Any) -> None:
    where = "[...document.querySelectorAll('.marker, .rule')].map((each) => each.outerHTML)"
    before = opened.evaluate(where)
    opened.locator("#slider").press("ArrowRight")
    opened.locator("#slider").press("ArrowRight")
    opened.locator("#slider").fill("95")
    assert sum(one != other for one, other in zip(before, opened.evaluate(where), strict=True)) >= 7


def test_the_marker_stands_on_the_roc_curve(opened: Any) -> None:
    marker = opened.locator("[data-marker=roc] .marker")
    at = [float(marker.get_attribute(name)) for name in ("cx", "cy")]
    percent = {name: float(opened.text_content(f"#{name}").split()[0]) / 100 for name in ("sensitivity", "specificity")}
    assert at == pytest.approx([56 + 328 * (1 - percent["specificity"]), 258 - 248 * percent["sensitivity"]], abs=0.5)


def test_a_named_threshold_is_pressed_and_reached(opened: Any) -> None:
    opened.get_by_role("button", name="95 % sensitivity").click()
    assert float(opened.text_content("#sensitivity").split()[0]) >= 95
    assert opened.get_by_role("button", name="95 % sensitivity").get_attribute("aria-pressed") == "true"


def test_a_click_sorts_the_leaderboard_and_another_turns_it(opened: Any) -> None:
    button = opened.locator("#board thead button", has_text="AUC").first
    auc = "[...document.querySelectorAll('#board tbody tr')].map((row) => Number(row.cells[2].dataset.value))"
    button.click()
    assert opened.evaluate(auc) == sorted(opened.evaluate(auc), reverse=True)
    button.click()
    assert opened.evaluate(auc) == sorted(opened.evaluate(auc))
    opened.locator("#board thead button", has_text="Model").click()
    names = opened.evaluate("[...document.querySelectorAll('#board tbody th')].map((each) => each.dataset.value)")
    assert names == sorted(names)


def test_what_is_not_known_stays_last_whichever_way_a_table_is_sorted(opened: Any) -> None:
    values = "[...document.querySelectorAll('#subgroup-table tbody tr')].map((row) => row.cells[1].dataset.value)"
    opened.evaluate("document.querySelector('#subgroup-table tbody tr').cells[1].dataset.value = ''")
    button = opened.locator("#subgroup-table thead button", has_text="AUC")
    for _ in range(2):
        button.click()
        assert opened.evaluate(values)[-1] == ""
