"""Tests for the data page: counts, distances, and a page that loads nothing."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from sklearn.metrics import roc_auc_score

from features.folder.layout import Request
from features.freeze_cases import freeze_cases
from melstack.report.charts import BINS, Distribution, distributions
from melstack.report.data_page import tables
from melstack.report.data_page.distances import distances, separations, total_variation, weighted_auc
from melstack.report.data_page.page import explore
from melstack.report.data_page.summary import summary_sentences
from runtime.files import write_json
from runtime.run_folder import Run
from runtime.tables import write_table
from tests.features.small_clinic import small_clinic
from tests.melstack.report.written_runs import cases_of


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return small_clinic(tmp_path / "clinic")


def make_run(data: Path, tmp_path: Path) -> Run:
    run = Run(tmp_path / "run")
    freeze_cases(run, Request(data, folds=2))
    return run


def page_of(run: Run) -> str:
    return explore(run).read_text(encoding="utf-8")


def test_groups_count_every_training_picture_once_and_age_bands_are_sorted() -> None:
    ages = [5.0, 15.0, 15.0, 85.0, 109.0, np.nan, 45.0, 40.0]
    (group,) = tables.group_tables(cases_of(8, 0, age_approx=ages))
    assert [row["name"] for row in group["rows"]] == ["0-9", "10-19", "40-49", "80-89", "100-109", "missing"]
    assert sum(row["count"] for row in group["rows"]) == 8
    assert [row["malignant"] for row in group["rows"]] == [1, 0, 0, 0, 1, 0]


def test_rare_values_are_summed_in_one_row() -> None:
    sites = [f"site {i:02d}" for i in range(20)]
    (group,) = tables.group_tables(cases_of(20, 0, anatom_site_general_challenge=sites))
    assert len(group["rows"]) == tables.MAX_VALUES + 1
    assert group["rows"][-1]["name"] == "other"
    assert group["rows"][-1]["count"] == 20 - tables.MAX_VALUES


def test_patients_are_counted_in_doubling_bins() -> None:
    cases = cases_of(10, 2)
    cases["patient_id"] = ["one"] + ["three"] * 3 + ["six"] * 6 + ["t"] * 2
    table = tables.patients(cases)
    assert {row["name"]: (row["count"], row["malignant"]) for row in table["rows"]} == {
        "1": (1, 1),
        "2-3": (1, 0),
        "4-7": (1, 1),
    }
    assert table["per_patient"] == {
        "train": {"median": 3.0, "maximum": 6},
        "test": {"median": 2.0, "maximum": 2},
    }


def test_a_size_that_only_test_pictures_have_is_in_the_table_and_the_summary() -> None:
    width = [6000.0] * 8 + [1920.0] * 2
    rows = tables.sizes(cases_of(8, 2, width=width, height=1080.0))
    assert [(row["name"], row["share"], row["test"]) for row in rows] == [
        ("6000 × 1080", 1.0, 0.0),
        ("1920 × 1080", 0.0, 1.0),
    ]
    sentences = summary_sentences(cases_of(8, 2), [], rows, [])
    assert sentences[0] == "25.00 % of the training pictures are malignant (2)."
    assert "px: 100 % of training and 0 % of test pictures" in sentences[1]


def test_only_columns_with_some_missing_values_are_listed() -> None:
    table = tables.missing(cases_of(4, 2, sex=["f", None, "f", "f", None, None], file_bytes=np.nan, age_approx=1.0))
    assert table == {"roles": ["train", "test"], "rows": [{"name": "sex", "shares": [0.25, 1.0]}]}


def test_total_variation_is_half_the_absolute_difference_of_shares() -> None:
    other = np.array([False, False, False, False, True, True])
    assert total_variation(np.array([0, 0, 0, 1, 0, 1]), other) == pytest.approx(0.25)
    assert total_variation(np.array([0, 0, 0, 0, 1, 1]), other) == 1.0


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=4, max_size=40))
def test_the_kolmogorov_smirnov_distance_equals_that_of_scipy(rows: list[tuple[int, bool]]) -> None:
    values = np.array([value for value, _ in rows], dtype=np.float64)
    other = np.array([part for _, part in rows])
    if 0 < other.sum() < len(other):
        expected = ks_2samp(values[other], values[~other], method="asymp").statistic
        table = pd.DataFrame({"patient_id": np.arange(len(values)), "value": values})
        assert distances(table[other], table[~other], [])[0]["distance"] == pytest.approx(expected)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 3)), min_size=4, max_size=40))
def test_a_weighted_auc_equals_that_of_repeated_rows(rows: list[tuple[int, bool, int]]) -> None:
    ranks, y, weights = (np.array(column) for column in zip(*rows, strict=True))
    targets = np.repeat(y, weights)
    if 0 < targets.sum() < len(targets):
        expected = roc_auc_score(targets, np.repeat(ranks, weights))
        assert weighted_auc(ranks, y.astype(float), weights.astype(float)) == pytest.approx(expected)


def parts(shift: float, pictures: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    random = np.random.default_rng(0)
    tables_of_parts = []
    for part, move in enumerate((0.0, shift)):
        patient = np.repeat(np.arange(60), pictures)
        level = random.normal(size=60)[patient]
        sex = np.where(random.random(len(patient)) < 0.5, "f", None)
        columns = {"patient_id": [f"{part}-{p}" for p in patient], "value": level + move, "sex": sex}
        tables_of_parts.append(pd.DataFrame(columns))
    return tables_of_parts[0], tables_of_parts[1]


def test_a_shift_is_beyond_chance_and_comes_first() -> None:
    rows = distances(*parts(1.5), ["sex"])
    assert [(row["name"], row["kind"], row["distance"] > row["chance"]) for row in rows] == [
        ("value", "KS", True),
        ("sex", "TV", False),
    ]


def test_more_pictures_per_patient_do_not_lower_the_distance_by_chance() -> None:
    """Fifty similar pictures per patient hold no more information on the patients than one picture."""
    one, many = (distances(*parts(0.0, pictures), ["sex"]) for pictures in (1, 50))
    chance = [next(row["chance"] for row in rows if row["name"] == "value") for rows in (one, many)]
    assert chance[1] == pytest.approx(chance[0], rel=0.25)


def test_the_statistic_that_separates_the_classes_comes_first_and_its_interval_contains_its_auc() -> None:
    random = np.random.default_rng(0)
    target = pd.Series((random.random(200) < 0.4).astype(float))
    values = pd.DataFrame({"noise": random.normal(size=200), "signal": random.normal(size=200) - target})
    values["one_class"] = np.where(target == 1, 1.0, np.nan)
    rows = separations(values, target, pd.Series(np.arange(200) // 2))
    assert [row["name"] for row in rows] == ["signal", "noise"]
    assert rows[0]["auc"] == pytest.approx(roc_auc_score(target, values["signal"]))
    assert rows[0]["low"] < rows[0]["auc"] < rows[0]["high"] < 0.5


def test_distributions_share_the_vertical_scale_each_sums_to_one_and_empty_parts_have_none() -> None:
    one_value = Distribution("x", "x", {"train": pd.Series([1.0] * 5), "test": pd.Series(dtype=float)})
    even = Distribution("y", "y", {"train": pd.Series(np.arange(10.0 * BINS)), "test": pd.Series([0.0])})
    charts = distributions([one_value, even])
    assert [[band.style for band in chart.bands] for chart in charts] == [["train"], ["train", "test"]]
    assert [chart.y.high for chart in charts] == [1.0, 1.0]
    heights = charts[1].bands[0].points[::2, 2]
    assert len(heights) == BINS
    assert heights.sum() == pytest.approx(1)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_loads_nothing_and_shows_every_readable_picture(data: Path, tmp_path: Path) -> None:
    run = make_run(data, tmp_path)
    (data / "jpeg" / "train" / "b2.jpg").write_bytes(b"broken")
    page = page_of(run)
    parser = _Tags()
    parser.feed(page)
    assert "Not a medical device" in page
    assert not [tag for tag, _ in parser.tags if tag in ("script", "iframe")]
    assert [attributes["href"] for tag, attributes in parser.tags if tag == "link"] == ["data:,"]
    sources = [attributes["src"] for tag, attributes in parser.tags if tag == "img"]
    assert len(sources) == 3
    assert all(str(source).startswith("data:image/jpeg;base64,") for source in sources)
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//|url\((?!#)|@import", page)
    assert "cannot be read: 1, among them b2" in page
    assert "Measured on a sample of 5 pictures" in page


def test_the_picture_statistics_of_the_run_are_used_if_it_has_them(data: Path, tmp_path: Path) -> None:
    run = make_run(data, tmp_path)
    names = run.read_cases().index
    write_table(run.statistics, pd.DataFrame({"red_mean": np.arange(6.0)}, index=names))
    page = page_of(run)
    assert "red_mean" in page
    assert "Measured on a sample" not in page


def test_without_pictures_and_test_cases_the_page_says_so(tmp_path: Path) -> None:
    run = Run(tmp_path)
    write_table(run.cases, cases_of(8, 0, sex=["f", "m"] * 4))
    write_json(run.cases_mark, {"made_from": {}, "data": "data/none"})
    page = page_of(run)
    assert "Picture statistics are not available: the run has no pictures." in page
    assert "The run has no pictures to show." in page
    assert "The run has no test or external cases to compare with." in page
    assert "<img" not in page


def test_the_same_run_gives_the_same_page(data: Path, tmp_path: Path) -> None:
    run = make_run(data, tmp_path)
    assert page_of(run) == page_of(run)
