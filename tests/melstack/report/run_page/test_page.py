import json
from pathlib import Path

import pytest
from PIL import Image

from melstack.report.run_page.gallery_section import Pictures
from melstack.report.run_page.inputs import read_artefacts
from melstack.report.run_page.learning import learning_section
from melstack.report.run_page.origins import flat
from melstack.report.run_page.page import make_report
from melstack.report.run_page.repeatable import mode_of, modes
from runtime.errors import InputFault
from runtime.files import read_json, write_json
from runtime.run_folder import Run
from tests.melstack.report.written_runs import EVIL, write_run


def page_of(run: Run) -> str:
    return make_report(run, "default").read_text(encoding="utf-8")


def test_a_run_without_anything_more_says_what_to_run_and_loads_nothing(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path / "run"))
    for said in ("make explain", "make audit", "has no pictures", "Not measured", "Not a medical device"):
        assert said in page
    assert "http://" not in page
    assert "https://" not in page
    assert len(page) < 1_000_000


def test_a_run_with_pictures_and_no_galleries_says_which_command_draws_them(tmp_path: Path) -> None:
    assert "No galleries yet: <code>make explain</code>" in page_of(write_run(tmp_path / "run", pictures=True))


def test_the_numbers_of_the_page_are_those_of_the_tables(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    found = read_artefacts(run, "default")
    page = make_report(run, "default").read_text(encoding="utf-8")
    auc = found.board.loc["choice", "auc"]
    assert f'id="headline-auc">{auc:.4f}<' in page
    embedded = json.loads(page.split('id="points">')[1].split("</script>")[0])
    assert embedded["positives"] == int(found.y.sum())
    assert embedded["columns"]["caught"][0] == embedded["positives"]
    start = next(preset["index"] for preset in embedded["presets"] if preset["label"] == "90 % sensitivity")
    assert embedded["columns"]["sensitivity"][start] >= 0.9


def test_text_from_the_data_is_escaped_wherever_it_stands(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", pictures=True, site=EVIL)
    Image.new("RGB", (20, 10)).save(_made(run.folder / "galleries") / "a.jpg")
    item = {"image_name": EVIL, "picture": "a.jpg", "scores": {EVIL: 0.5}, "metadata": {"site": EVIL}}
    gallery = {"name": "x", "kind": "cases", "title": EVIL, "items": [item]}
    write_json(run.folder / "galleries" / "index.json", {"galleries": [gallery]})
    finding = {"what": EVIL, "count": 1, "names": [[EVIL, "b"]], "severity": EVIL, "done": EVIL}
    write_json(run.folder / "leaks.json", {"findings": [finding]})
    families, columns = [{"name": EVIL, "share": 1.0}], [{"name": EVIL, "family": EVIL, "mean_abs": 0.5}]
    write_json(run.level2 / "default" / "explanations.json", {"families": families, "columns": columns})
    page = make_report(run, "default", [f"code: {EVIL}"]).read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert") >= 10


def test_a_preset_cannot_close_the_script_that_holds_the_table(tmp_path: Path) -> None:
    from melstack.report.run_page.page import contents, render

    values = contents(read_artefacts(write_run(tmp_path / "run"), "default"))
    values["thresholds"].table["presets"] = [{"label": "</script><b>", "index": 0}]
    assert "</script><b>" not in render(values)


def test_explanations_audit_and_galleries_are_shown_once_they_are_there(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", pictures=True)
    Image.new("RGB", (20, 10), "red").save(_made(run.folder / "galleries") / "hardest_cases.png")
    write_json(run.folder / "leaks.json", {"findings": [], "looked_at": {"cases": 120}})
    families, columns = (
        [{"name": "networks", "share": 0.8}],
        [{"name": "logit.a", "family": "networks", "mean_abs": 1.5}],
    )
    write_json(run.level2 / "default" / "explanations.json", {"families": families, "columns": columns})
    page = page_of(run)
    for said in ("80.0 %", "logit.a", "The audit found nothing in 120 cases", "Hardest cases", "data:image/webp"):
        assert said in page
    assert "make explain" not in page


def test_pictures_beyond_the_budget_stay_beside_the_page(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (200, 200), "red").save(tmp_path / name)
    shown = Pictures(Run(tmp_path), most_bytes=400)
    sources = [shown.source(tmp_path / name) for name in ("a.png", "b.png")]
    assert sources[0].startswith("data:image/webp;base64,")
    assert sources[1] == "b.png"
    assert shown.beside == 1


def test_attachments_of_another_shape_are_refused_by_name(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    write_json(run.folder / "leaks.json", {"findings": [{"what": "x", "count": -1}]})
    with pytest.raises(InputFault, match=r"leaks\.json: not of the shape[\s\S]*findings\.0\.count"):
        make_report(run, "default")


def test_everything_of_the_stack_that_is_missing_is_named_and_an_older_page_stays(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run.folder / "report.html").write_text("older")
    (run.level2 / "default" / "metrics.csv").unlink()
    (run.level2 / "default" / "decisions.json").unlink()
    with pytest.raises(InputFault, match=r"2 fault\(s\)[\s\S]*decisions\.json[\s\S]*metrics\.csv.*`make stack`"):
        make_report(run, "default")
    assert (run.folder / "report.html").read_text() == "older"


def test_a_network_that_is_gone_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run.level1 / "net_b" / "predictions.parquet").unlink()
    with pytest.raises(InputFault, match=r"net_b.predictions\.parquet: not there"):
        make_report(run, "default")


def test_what_changed_since_the_stack_was_made_is_told(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    page = make_report(run, "default", ["code: a -> b"]).read_text(encoding="utf-8")
    assert "Since then changed" in page
    assert "code: a -&gt; b" in page
    assert "Since then changed" not in page_of(run)


def test_learning_curves_have_a_line_per_fold_and_networks_without_epochs_are_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for fold in range(2):
        folder = _made(run.level1 / "net_a" / f"fold_{fold}")
        (folder / "history.csv").write_text("epoch,loss,seconds,validation_auc\n1,0.7,30,\n2,0.5,30,0.8\n")
    learnt, without = learning_section(run)
    assert without == ["net_b"]
    assert [(one.network, one.epochs, one.seconds) for one in learnt] == [("net_a", 2, 120.0)]
    assert [[line.name for line in chart.lines] for chart in learnt[0].charts] == [["fold 0", "fold 1"]] * 2


def test_a_history_without_a_loss_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (_made(run.level1 / "net_a" / "fold_0") / "history.csv").write_text("epoch\n1\n")
    with pytest.raises(InputFault, match="no column loss"):
        learning_section(run)


def test_a_mark_is_listed_leaf_by_leaf() -> None:
    mark = {"made_from": {"settings": {"seed": 0, "views": ["a", "b"], "external": None}}, "folds": [{"rows": 3}]}
    assert list(flat(mark)) == [
        ("settings.seed", "0"),
        ("settings.views", "a, b"),
        ("settings.external", "none"),
        ("folds.0.rows", "3"),
    ]


def test_the_command_prints_where_the_page_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from melstack.level2_commands import report

    run = write_run(tmp_path / "run")
    report(run.folder)
    assert "report.html" in capsys.readouterr().out
    assert (run.folder / "report.html").is_file()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_the_page_says_in_which_mode_each_part_was_made(tmp_path):
    run = write_run(tmp_path / "run")
    for name, folds in (("net_a", [True, True]), ("net_b", [False, False])):
        mark = run.level1 / name / "run.json"
        write_json(mark, read_json(mark) | {"folds": [{"deterministic": each} for each in folds]})
    assert modes(run, "default") == [
        ("network net_a", "deterministic"),
        ("network net_b", "fast (not repeatable to the byte)"),
        ("stack default", "deterministic"),
    ]
    page = make_report(run, "default").read_text()
    assert "<dt>network net_a</dt><dd>deterministic</dd>" in page
    assert "<dt>network net_b</dt><dd>fast (not repeatable to the byte)</dd>" in page


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        ({"made_from": {"networks": 5}}, "brought from elsewhere: not known to the run"),
        ({"made_from": {"settings": {}}, "folds": [{"rows": 3}]}, "not told by its mark"),
        ({"made_from": {"settings": {}}, "folds": [{"deterministic": True}, {"deterministic": False}]}, "some folds"),
    ],
)
def test_a_mode_that_is_not_known_or_not_one_is_said_to_be_so(tmp_path, mark, expected):
    write_json(tmp_path / "run.json", mark)
    assert mode_of(tmp_path / "run.json").startswith(expected)
