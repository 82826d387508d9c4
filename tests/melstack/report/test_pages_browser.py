"""Tests of the pages in a headless browser: no errors, no requests, no sideways scrolling; slider and sorting work."""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import pytest
from PIL import Image

from features.clinic.folder import draw_clinic
from features.folder.layout import Request
from features.freeze_cases import freeze_cases
from level2_stack.finished import stack_digest
from melstack.report.data_page.page import explore
from melstack.report.run_page.page import make_report
from runtime.command_record import NAME as COMMANDS
from runtime.command_record import this_command
from runtime.files import write_json, write_text
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
    stack = stack_digest(run.level2 / "default")
    write_json(run.folder / "galleries" / "index.json", {"stack": stack, "galleries": galleries})
    record = replace(
        this_command(), command=f"melstack stack --run {'a_long_name/' * 20}", commit=f"{'ab' * 20}+changes"
    )
    write_text(run.folder / COMMANDS, f"{json.dumps(asdict(record))}\n" * 3)
    finding = {"what": "patients in both train and test", "count": 7, "names": [f"patient_{n}" for n in range(7)]}
    write_json(
        run.folder / "leaks.json", {"findings": [finding | {"severity": "blocking", "done": "correct patient_id"}]}
    )
    path = make_report(run, "default")
    page = path.read_text(encoding="utf-8")
    assert 'class="tiles' in page
    assert 'class="commands' in page
    return path.as_uri()


@pytest.fixture(scope="module")
def exploration(tmp_path_factory: pytest.TempPathFactory) -> str:
    run = Run(tmp_path_factory.mktemp("runs") / "explored")
    folder = tmp_path_factory.mktemp("clinic")
    draw_clinic(folder, train=40, test=12, seed=0)
    freeze_cases(run, Request(folder, folds=2))
    return explore(run).as_uri()


def test_the_report_prints_on_few_pages_with_tables_in_whole_and_every_detail_open(report_page: Any) -> None:
    pages = len(re.findall(rb"/Type\s*/Page\b", report_page.pdf(format="A4", prefer_css_page_size=True)))
    assert 1 <= pages <= 8
    report_page.emulate_media(media="print", color_scheme="dark")
    report_page.set_viewport_size({"width": 703, "height": 1000})  # of A4 within its margins
    tables = "[...document.querySelectorAll('table')]"
    wide = f"() => {tables}.filter(t => t.offsetWidth > t.parentElement.clientWidth + 1).map(t => t.id || t.className)"
    assert report_page.evaluate(wide) == []
    details = "[...document.querySelectorAll('details.panel > :not(summary)')]"
    assert report_page.evaluate(f"() => {details}.filter(part => part.offsetHeight === 0).length") == 0
    assert report_page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not report_page.locator("input[type=range]").is_visible()


@pytest.fixture
def report_page(browser: Any, address: str) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(address)
    yield page
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("fixture", ["address", "exploration"])
def test_a_page_opens_without_errors_or_requests_and_is_not_wider_than_the_screen(
    browser: Any, request: pytest.FixtureRequest, fixture: str, width: int, scheme: str
) -> None:
    address = request.getfixturevalue(fixture)
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    messages, requests = [], []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert messages == []
    assert [url for url in requests if not url.startswith("data:")] == [address]
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.close()


def test_the_slider_changes_every_number_and_the_confusion_matrix_sums_to_all_rows(report_page: Any) -> None:
    names = ("sensitivity", "specificity", "ppv", "threshold-value", "sentence")
    before = {name: report_page.text_content(f"#{name}") for name in names}
    report_page.locator("#slider").fill("90")
    after = {name: report_page.text_content(f"#{name}") for name in names}
    assert all(before[name] != after[name] for name in names)
    cells = {
        name: int(report_page.text_content(f"#{name}"))
        for name in ("true-positives", "false-negatives", "false-positives", "true-negatives")
    }
    assert sum(cells.values()) == 100
    sensitivity = 100 * cells["true-positives"] / (cells["true-positives"] + cells["false-negatives"])
    assert after["sensitivity"] == f"{sensitivity:.1f} %"


def test_the_slider_moves_the_marker_of_every_curve(report_page: Any) -> None:
    markers = "[...document.querySelectorAll('.marker, .rule')].map((each) => each.outerHTML)"
    before = report_page.evaluate(markers)
    report_page.locator("#slider").press("ArrowRight")
    report_page.locator("#slider").press("ArrowRight")
    report_page.locator("#slider").fill("95")
    assert sum(one != other for one, other in zip(before, report_page.evaluate(markers), strict=True)) >= 7


def test_the_marker_is_on_the_roc_curve(report_page: Any) -> None:
    report_page.locator("#slider").fill("30")
    marker = report_page.locator("[data-marker=roc] .marker")
    at = [float(marker.get_attribute(name)) for name in ("cx", "cy")]
    percent = {
        name: float(report_page.text_content(f"#{name}").split()[0]) / 100 for name in ("sensitivity", "specificity")
    }
    assert at == pytest.approx([56 + 328 * (1 - percent["specificity"]), 258 - 248 * percent["sensitivity"]], abs=0.5)


def test_a_click_on_a_preset_shows_what_its_threshold_reaches_on_the_outer_folds(report_page: Any) -> None:
    button = report_page.get_by_role("button", name="90 % sensitivity")
    report_page.locator("#slider").fill("30")
    assert button.get_attribute("aria-pressed") == "false"
    assert "Measured on all rows" in report_page.text_content("#evaluation")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert "patients that did not choose" in report_page.text_content("#evaluation")
    of_table = float(
        report_page.locator("#operating-points tbody tr").first.locator("td").nth(1).inner_text().split()[0]
    )
    assert float(report_page.text_content("#sensitivity").split()[0]) == pytest.approx(100 * of_table, abs=0.06)


def test_a_click_sorts_the_leaderboard_and_a_second_click_reverses_the_order(report_page: Any) -> None:
    button = report_page.locator("#board thead button", has_text="AUC").first
    auc = "[...document.querySelectorAll('#board tbody tr')].map((row) => Number(row.cells[2].dataset.value))"
    button.click()
    assert report_page.evaluate(auc) == sorted(report_page.evaluate(auc), reverse=True)
    button.click()
    assert report_page.evaluate(auc) == sorted(report_page.evaluate(auc))
    report_page.locator("#board thead button", has_text="Model").click()
    names = report_page.evaluate("[...document.querySelectorAll('#board tbody th')].map((each) => each.dataset.value)")
    assert names == sorted(names)


def test_unknown_values_stay_last_in_both_sort_orders(report_page: Any) -> None:
    values = "[...document.querySelectorAll('#subgroup-table tbody tr')].map((row) => row.cells[1].dataset.value)"
    report_page.evaluate("document.querySelector('#subgroup-table tbody tr').cells[1].dataset.value = ''")
    button = report_page.locator("#subgroup-table thead button", has_text="AUC")
    for _ in range(2):
        button.click()
        assert report_page.evaluate(values)[-1] == ""
