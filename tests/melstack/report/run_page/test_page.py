import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from PIL import Image

from level2_stack.finished import stack_digest
from level2_stack.thresholds.operating_point import point_of_subgroups
from melstack.report.run_page.gallery_section import PictureSources
from melstack.report.run_page.inputs import read_stack
from melstack.report.run_page.learning import learning_section
from melstack.report.run_page.modes import mode_of, modes
from melstack.report.run_page.origins import flatten
from melstack.report.run_page.page import make_report
from melstack.report.stack_parts import other_stacks
from runtime.command_record import this_command
from runtime.errors import InputFault
from runtime.files import read_json, write_json
from runtime.provenance import digest_of_file, write_mark
from runtime.run_folder import Run
from runtime.tables import read_table, write_table
from tests.melstack.report.written_runs import EVIL, write_run


def page_of(run: Run) -> str:
    return make_report(run, "default").read_text(encoding="utf-8")


def explain(run: Run) -> None:
    """Write explanations and a gallery of the run's stack."""
    stack = {"stack": stack_digest(run.level2 / "default")}
    families = [{"name": "networks", "share": 0.8}]
    columns = [{"name": "logit.a", "family": "networks", "mean_abs": 1.5}]
    write_json(run.level2 / "default" / "explanations.json", stack | {"families": families, "columns": columns})
    Image.new("RGB", (20, 10), "red").save(_make_folder(run.folder / "galleries") / "a.jpg")
    gallery = {
        "name": "x",
        "kind": "cases",
        "title": "Hardest cases",
        "items": [{"image_name": "a", "picture": "a.jpg"}],
    }
    write_json(run.folder / "galleries" / "index.json", stack | {"galleries": [gallery]})


def stack_again(run: Run) -> None:
    """Write other probabilities, as a stack at another prevalence has."""
    path = run.level2 / "default" / "predictions.parquet"
    write_table(path, read_table(path) / 2)


def test_a_run_without_attachments_names_the_commands_that_add_them_and_the_page_loads_nothing(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path / "run"))
    for text in ("melstack explain", "melstack audit", "has no pictures", "Not measured", "Not a medical device"):
        assert text in page
    assert "http://" not in page
    assert "https://" not in page
    assert len(page) < 1_000_000


def test_a_run_with_pictures_but_without_galleries_names_the_command_that_writes_them(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", pictures=True)
    assert f"No galleries yet: <code>melstack explain --run {run.folder}</code>" in page_of(run)


def test_the_numbers_of_the_page_are_those_of_the_tables(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    stack = read_stack(run, "default")
    page = make_report(run, "default").read_text(encoding="utf-8")
    auc = stack.board.loc["choice", "auc"]
    assert f'id="headline-auc">{auc:.4f}<' in page
    slider = json.loads(page.split('id="points">')[1].split("</script>")[0])
    assert slider["positives"] == int(stack.y.sum())
    assert slider["columns"]["true_positives"][0] == slider["positives"]


def test_the_subgroups_stand_at_the_frozen_threshold_and_prevalence_of_the_threshold_table(tmp_path: Path) -> None:
    stack = read_stack(write_run(tmp_path / "run"), "default")
    point, all_rows = point_of_subgroups(stack.operating_points), stack.tables["subgroups"].iloc[0]
    assert all_rows["threshold"] == pytest.approx(point.threshold)
    assert all_rows["prevalence"] == pytest.approx(point.prevalence)
    assert all_rows["sensitivity"] == pytest.approx(point.measures["sensitivity"].value)


def test_a_stack_of_an_older_version_names_the_command_that_freezes_thresholds(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for name in ("thresholds.json", "risk_coverage.csv", "conformal.csv"):
        (run.level2 / "default" / name).unlink()
    page = page_of(run)
    assert f"froze no thresholds; melstack stack --run {run.folder}" in page
    assert "Risk and coverage" not in page


def test_text_from_the_data_is_escaped_everywhere(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", pictures=True, site=EVIL)
    Image.new("RGB", (20, 10)).save(_make_folder(run.folder / "galleries") / "a.jpg")
    item = {"image_name": EVIL, "picture": "a.jpg", "scores": {EVIL: 0.5}, "metadata": {"site": EVIL}}
    gallery = {"name": "x", "kind": "cases", "title": EVIL, "items": [item]}
    stack = {"stack": stack_digest(run.level2 / "default")}
    write_json(run.folder / "galleries" / "index.json", stack | {"galleries": [gallery]})
    finding = {"what": EVIL, "count": 1, "names": [[EVIL, "b"]], "severity": EVIL, "done": EVIL}
    write_json(run.folder / "leaks.json", {"findings": [finding]})
    families, columns = [{"name": EVIL, "share": 1.0}], [{"name": EVIL, "family": EVIL, "mean_abs": 0.5}]
    write_json(run.level2 / "default" / "explanations.json", stack | {"families": families, "columns": columns})
    (run.folder / "commands.jsonl").write_text(json.dumps(asdict(replace(this_command(), command=EVIL))))
    page = make_report(run, "default", [f"code: {EVIL}"]).read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert") >= 10


def test_a_preset_cannot_close_the_script_that_holds_the_table(tmp_path: Path) -> None:
    from melstack.report.run_page.page import TEMPLATES, page_values, render

    values = page_values(read_stack(write_run(tmp_path / "run"), "default"))
    values["slider"].table["presets"] = [{"label": "</script><b>", "index": 0}]
    assert "</script><b>" not in render("page.html", values, TEMPLATES)


def test_explanations_audit_and_galleries_are_shown_if_they_exist(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", pictures=True)
    explain(run)
    write_json(run.folder / "leaks.json", {"findings": [], "looked_at": {"cases": 120}})
    page = page_of(run)
    for text in ("80.0 %", "logit.a", "The audit has no findings in 120 cases", "Hardest cases", "data:image/jpeg"):
        assert text in page
    assert "melstack explain" not in page


def test_parts_of_an_older_stack_are_left_out_until_they_are_made_again(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", pictures=True)
    explain(run)
    first = stack_digest(run.level2 / "default")
    stack_again(run)
    page, second = page_of(run), stack_digest(run.level2 / "default")
    for name in ("explanations", "galleries"):
        sentence = (
            f"The {name} of this run are left out: they were made from another stack ({first[:8]}), and this page"
        )
        assert f"{sentence} shows stack {second[:8]}. <code>melstack explain --run {run.folder}" in page
    assert "Hardest cases" not in page
    assert "logit.a" not in page
    explain(run)
    page = page_of(run)
    assert "of this run are left out" not in page
    assert first[:8] not in page
    assert "Hardest cases" in page
    assert "logit.a" in page


def test_parts_that_do_not_record_their_stack_are_left_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", pictures=True)
    explain(run)
    path = run.folder / "galleries" / "index.json"
    write_json(path, {"galleries": read_json(path)["galleries"]})
    assert "The galleries of this run are left out: they do not record their stack" in page_of(run)


def test_every_section_carries_the_digest_of_the_stack(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    page, digest = page_of(run), stack_digest(run.level2 / "default")
    headings = page.split('<div class="heading"')[1:]
    assert len(headings) == 11
    assert all(f">stack {digest[:8]}</span>" in heading.split("</h2>")[0] for heading in headings)
    assert f'stack <strong title="digest of the stack\'s probabilities: {digest}">{digest[:8]}</strong>' in page


def test_a_submission_and_a_bundle_of_another_stack_are_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    own = stack_digest(run.level2 / "default")
    for stack, recipe in ((own, "default"), ("0123456789abcdef", "rare")):
        run.submission.write_text("image_name,target\n")
        write_mark(run.submission.with_suffix(".json"), {"recipe": recipe, "predictions": stack}, [run.submission])
        write_json(run.folder / "bundle" / "manifest.json", {"recipe": recipe, "facts": {"stack": stack}})
        sentences = other_stacks(run, "default")
        assert len(sentences) == (0 if stack == own else 2)
    remedy = f"<code>melstack submission --run {run.folder}</code> makes it from the stack of this page"
    for name in ("The file submission.csv", "The bundle"):
        assert f"{name} of this run is from another stack, 01234567 of recipe rare. {remedy}" in page_of(run)


@pytest.mark.parametrize("name", ["cases.parquet", "level1/net_a/predictions.parquet"])
def test_tables_that_changed_since_the_stack_was_made_are_refused(tmp_path: Path, name: str) -> None:
    run = write_run(tmp_path / "run")
    mark = run.level2 / "default" / "run.json"
    digests = {
        path: digest_of_file(run.folder / path) for path in ("cases.parquet", "level1/net_a/predictions.parquet")
    }
    made_from = {"cases": digests["cases.parquet"], "tables": digests}
    write_json(mark, {"made_from": made_from | read_json(mark)["made_from"]})
    page_of(run)
    table = read_table(run.folder / name)
    write_table(run.folder / name, table.iloc[::-1])
    with pytest.raises(InputFault, match=rf"{name}: changed since the stack was made; `melstack stack`"):
        page_of(run)


def test_the_audit_of_other_cases_is_not_shown(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for cases, is_shown in ((run.cases_digest(), True), ("0123", False)):
        write_json(run.folder / "leaks.json", {"made_from": {"cases": cases}, "findings": [], "looked_at": {}})
        assert ("The audit has no findings" in page_of(run)) is is_shown


def test_the_commands_that_made_the_run_are_listed_with_their_commit(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    assert "no record of commands" in page_of(run)
    values = {
        "command": "melstack stack --prevalence 0.1",
        "melstack": "1",
        "commit": f"{'ab' * 20}+changes",
        "python": "3",
    }
    times = [f"2026-11-{day}T09:30:05Z" for day in (28, 29)]
    lines = [json.dumps(values | {"time": time}) for time in times]
    (run.folder / "commands.jsonl").write_text("\n".join(lines))
    page = page_of(run)
    for text in ("2026-11-28 09:30<br>to 2026-11-29 09:30", "--prevalence 0.1</code>", ">2</td>", ">abababab+changes<"):
        assert text in page


def test_pictures_beyond_the_budget_are_not_embedded(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (200, 200), "red").save(tmp_path / name)
    picture_sources = PictureSources(Run(tmp_path), max_bytes=400)
    sources = [picture_sources.source(tmp_path / name) for name in ("a.png", "b.png")]
    assert sources[0].startswith("data:image/webp;base64,")
    assert sources[1] == "b.png"
    assert picture_sources.external_count == 1


def test_invalid_attachments_are_refused_by_name(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    write_json(run.folder / "leaks.json", {"findings": [], "looked_at": 1})
    with pytest.raises(InputFault, match=r"leaks\.json: the report cannot read this file[\s\S]*looked_at"):
        make_report(run, "default")
    write_json(run.folder / "leaks.json", {"findings": [{"what": "x", "count": 1}]})
    with pytest.raises(InputFault, match=r"leaks\.json: damaged, its findings lack 'severity'"):
        make_report(run, "default")


def test_all_missing_files_of_the_stack_are_named_and_an_older_page_stays(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run.folder / "report.html").write_text("older")
    (run.level2 / "default" / "metrics.csv").unlink()
    (run.level2 / "default" / "decisions.json").unlink()
    with pytest.raises(InputFault, match=r"2 faults[\s\S]*decisions\.json[\s\S]*metrics\.csv.*`melstack stack`"):
        make_report(run, "default")
    assert (run.folder / "report.html").read_text() == "older"


def test_a_missing_network_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run.level1 / "net_b" / "predictions.parquet").unlink()
    with pytest.raises(InputFault, match=r"net_b.predictions\.parquet: file not found"):
        make_report(run, "default")


def test_the_page_lists_what_has_changed_since_the_stack_was_made(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    page = make_report(run, "default", ["code: a -> b"]).read_text(encoding="utf-8")
    assert "Changed since it was made" in page
    assert "code: a -&gt; b" in page
    assert "Changed since it was made" not in page_of(run)


def test_learning_curves_have_a_line_per_fold_and_networks_without_epochs_are_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for fold in range(2):
        folder = _make_folder(run.level1 / "net_a" / f"fold_{fold}")
        (folder / "history.csv").write_text("epoch,loss,seconds,validation_auc\n1,0.7,30,\n2,0.5,30,0.8\n")
    curves, without_curves = learning_section(run, ["net_a", "net_b"])
    assert without_curves == ["net_b"]
    assert [(each.network, each.epochs, each.seconds) for each in curves] == [("net_a", 2, 120.0)]
    assert [[line.name for line in chart.lines] for chart in curves[0].charts] == [["fold 0", "fold 1"]] * 2


def test_a_history_without_a_loss_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (_make_folder(run.level1 / "net_a" / "fold_0") / "history.csv").write_text("epoch\n1\n")
    with pytest.raises(InputFault, match="no column loss"):
        learning_section(run, ["net_a", "net_b"])


def test_a_nested_json_file_is_listed_leaf_by_leaf() -> None:
    mark = {"made_from": {"settings": {"seed": 0, "views": ["a", "b"], "external": None}}, "folds": [{"rows": 3}]}
    assert list(flatten(mark)) == [
        ("settings.seed", "0"),
        ("settings.views", "a, b"),
        ("settings.external", "none"),
        ("folds.0.rows", "3"),
    ]


def _make_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_the_page_states_the_mode_of_each_part(tmp_path):
    run = write_run(tmp_path / "run")
    for name, folds in (("net_a", [True, True]), ("net_b", [False, False])):
        mark = run.level1 / name / "run.json"
        write_json(mark, read_json(mark) | {"folds": [{"deterministic": each} for each in folds]})
    assert modes(run, "default", ["net_a", "net_b"]) == [
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
        ({"made_from": {"networks": 5}}, "foreign network"),
        ({"made_from": {"settings": {}}, "folds": [{"rows": 3}]}, "not recorded in run.json"),
        ({"made_from": {"settings": {}}, "folds": [{"deterministic": True}, {"deterministic": False}]}, "some folds"),
    ],
)
def test_an_unknown_or_mixed_mode_is_stated(tmp_path, mark, expected):
    write_json(tmp_path / "run.json", mark)
    assert mode_of(tmp_path / "run.json").startswith(expected)
