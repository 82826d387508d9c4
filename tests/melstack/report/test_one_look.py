"""Tests that the pages are one product: the rules of page_rules.py, one scale per kind of chart, one wording."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.clinic.folder import draw_clinic
from features.folder.layout import Request
from features.freeze_cases import freeze_cases
from level2_stack.evaluation.subgroups import MIN_CLASS_ROWS, too_few_for_auc
from level2_stack.finished import stack_digest
from melstack.report.charts import Scale, auc_scale
from melstack.report.data_page.page import explore
from melstack.report.galleries.tiles import EVEN_HEAT, NO_HEAT, blank_reason
from melstack.report.run_page.page import make_report
from runtime.files import write_json
from runtime.run_folder import Run
from tests.melstack.report.page_rules import chart_faults, faults_of, style_faults, word_faults
from tests.melstack.report.written_runs import write_run

SCRIPTS = ("melstack/report/run_page/templates/page.js", "melstack/bundle/serving/templates/patient.js")
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the run page, the data page, the patient page and the page of its interface."""
    run = write_run(tmp_path_factory.mktemp("runs") / "run")
    write_json(
        run.level2 / "default" / "explanations.json",
        {
            "stack": stack_digest(run.level2 / "default"),
            "families": [{"name": "networks", "share": 0.7}, {"name": "metadata", "share": 0.3}],
            "columns": [{"name": "pictures.lab_l_mean_z", "family": "pictures", "mean_abs": 0.4}],
        },
    )
    data_run = Run(tmp_path_factory.mktemp("runs") / "explored")
    folder = draw_clinic(tmp_path_factory.mktemp("clinic") / "clinic", train=60, test=20, seed=0)
    freeze_cases(data_run, Request(folder, folds=2))
    paths = {"run": make_report(run, "default"), "data": explore(data_run)}
    return {name: path.read_text(encoding="utf-8") for name, path in paths.items()} | served_pages()


def served_pages() -> dict[str, str]:
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    from melstack.bundle.serving.limits import Limits
    from melstack.bundle.serving.page import patient_page
    from tests.melstack.bundle.serving.doubles import DarknessPredictor, PageClient

    interface = PageClient(DarknessPredictor(), Limits()).get("/docs").text
    return {"patient": patient_page(DarknessPredictor(), Limits()), "interface": interface}


def test_every_page_follows_the_rules(pages: dict[str, str]) -> None:
    assert {name: faults for name, page in pages.items() if (faults := faults_of(page))} == {}
    assert pages["run"].count('<svg class="chart"') >= 4
    assert pages["data"].count('<svg class="chart"') >= 4


def test_the_rules_find_planted_faults(pages: dict[str, str]) -> None:
    page = pages["run"]
    assert list(style_faults(page.replace("<p ", '<p style="color: red" ', 1)))
    assert list(style_faults(page.replace("</body>", "<style>p { margin: 0 }</style></body>")))
    assert list(chart_faults(re.sub(r'(class="tick" x="50"[^>]*>)[^<]*<', r"\1<", page)))
    assert list(chart_faults(re.sub(r'(class="label" x="220"[^>]*>)[^<]*<', r"\1<", page)))
    assert list(word_faults(page.replace("Subgroups", "anatom_site_general_challenge")))
    assert list(word_faults(page.replace("Subgroups", "measured.clin_size_long_diam_mm")))


def test_only_the_shared_script_draws() -> None:
    for script in SCRIPTS:
        text = (ROOT / script).read_text(encoding="utf-8")
        assert "createElementNS" not in text
        assert "Math.sqrt" not in text
        assert not re.search(r"\.style\.(?!setProperty)", text)


def test_models_and_subgroups_have_one_scale_of_auc(pages: dict[str, str]) -> None:
    heads = re.findall(r'class="wide">AUC<svg class="scale".*?</svg>', pages["run"], re.DOTALL)
    assert len(heads) == 2
    assert len(set(heads)) == 1


def test_all_rates_of_the_data_page_have_one_scale_that_holds_the_groups(pages: dict[str, str]) -> None:
    heads = re.findall(r'class="wide">malignant<svg class="scale".*?</svg>', pages["data"], re.DOTALL)
    assert len(heads) >= 5
    assert len(set(heads)) == 1


def test_the_same_thing_has_the_same_words_on_all_pages(pages: dict[str, str]) -> None:
    validation = (ROOT / "melstack/report/validation_page/validation.html").read_text(encoding="utf-8")
    for words in ("Operating point", ">Threshold</th>"):
        assert all(words in page for page in (pages["run"], pages["patient"], validation))
    assert "Decisions at thresholds" in pages["run"]
    assert '"Decisions at thresholds"' in validation
    for old in ("Reliability<", "Threshold for", "Performance by subgroup", "where the networks look"):
        assert not [name for name, page in pages.items() if old in page]


def test_a_point_needs_ten_pictures_of_each_class() -> None:
    assert too_few_for_auc(MIN_CLASS_ROWS, 2 * MIN_CLASS_ROWS) == ""
    assert too_few_for_auc(9, 100) == "too few for an AUC: 9 malignant, 91 benign"
    assert too_few_for_auc(91, 100) == "too few for an AUC: 91 malignant, 9 benign"


def test_a_subgroup_of_four_pictures_has_no_point_on_the_run_page(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    path = run.level2 / "default" / "subgroups.csv"
    table = pd.read_csv(path)
    table.loc[1, ["rows", "positives", "auc", "auc_low", "auc_high"]] = [4, 2, 1.0, np.nan, np.nan]
    table.to_csv(path, index=False)
    page = make_report(run, "default").read_text(encoding="utf-8")
    row = next(row for row in re.findall(r"<tr.*?</tr>", page, re.DOTALL) if "2 malignant, 2 benign" in row)
    assert "too few for an AUC" in row
    assert "<circle" not in row
    assert "1.000" not in row.partition('data-value="')[2].partition("Sensitivity")[0].partition("</td>")[0]


def test_a_heat_map_without_content_has_a_reason() -> None:
    assert blank_reason(np.zeros((3, 3))) == NO_HEAT
    assert blank_reason(np.full((3, 3), 0.7)) == EVEN_HEAT
    assert blank_reason(np.eye(3)) == ""


def test_the_ticks_of_a_scale_are_round_and_within_it() -> None:
    assert Scale(0.0, 1.0, label="share", percent=True).ticks() == [(0.0, "0 %"), (50.0, "50 %"), (100.0, "100 %")]
    scale = auc_scale(np.array([0.44, 0.9]), np.array([np.nan]))
    assert scale.zero == 0.5
    assert all(0 <= position <= 100 for position, _ in scale.ticks())
    assert 2 <= len(scale.ticks()) <= 3
