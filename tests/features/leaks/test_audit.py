"""Tests of audit.py: the findings of the audit, their actions, and which of them stop the run."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from features.folder.data_folder import DataFolder
from features.leaks.audit import audit
from features.leaks.findings import BLOCKING, refuse_findings
from features.leaks.pairs import find_pairs, read_pairs, write_pairs
from runtime.errors import InputFault
from runtime.files import read_json, write_json
from runtime.run_folder import Run
from runtime.tables import write_table
from tests.features.leaks.skin_pictures import skin

# name: role, fold, patient, target, the picture's seed; an equal seed is the same picture
CASES = {
    "a": ("train", 0, "A", 0, 1),
    "b": ("train", 1, "B", 1, 1),
    "c": ("train", 1, "C", 0, 2),
    "d": ("train", 0, "D", 1, 3),
    "t": ("test", -1, "T", np.nan, 2),
    "x": ("extra", -1, "extra:X", 1, 3),
}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    columns = ["role", "fold", "patient_id", "target", "seed"]
    cases = pd.DataFrame.from_dict(CASES, orient="index", columns=columns).rename_axis("image_name")
    cases["picture"] = [f"{name}.png" for name in cases.index]
    (tmp_path / "data").mkdir()
    for name, seed in cases.pop("seed").items():
        Image.fromarray(skin(seed)).save(tmp_path / "data" / f"{name}.png", compress_level=9 if name == "x" else 6)
    new_run = Run(tmp_path / "run")
    write_table(new_run.cases, cases)
    write_json(new_run.cases_mark, {"made_from": {}, "data": str(tmp_path / "data")})
    pair(new_run)
    return new_run


def pair(run: Run) -> None:
    data = Path(run.facts()["data"])
    write_pairs(run.pairs, find_pairs(run.read_cases(), DataFolder.open(data), run.pairs.parent, jobs=1))


def change(run: Run, name: str, **values: object) -> None:
    cases = run.read_cases()
    for column, value in values.items():
        cases.loc[name, column] = value
    write_table(run.cases, cases)


def findings_of(run: Run) -> dict[str, tuple[str, list]]:
    return {finding.what: (finding.severity, finding.names) for finding in audit(run).findings}


def test_pairs_are_found_with_their_relation_and_severity(run: Run) -> None:
    assert findings_of(run) == {
        "byte-identical pairs, across folds": ("resolved", [["a", "b"]]),
        "byte-identical pairs, train and test": ("resolved", [["c", "t"]]),
        "near-duplicate pairs, external and validation": ("resolved", [["d", "x"]]),  # compressed in another way
        "pairs with different targets": ("note", [["a", "b"]]),
    }


def test_the_audit_writes_a_contact_sheet_and_its_pairs_can_be_read_again(run: Run) -> None:
    result = audit(run)
    assert read_json(run.folder / "leaks.json").items() >= result.facts().items()
    assert read_pairs(run)[["first", "second"]].to_numpy().tolist() == [["a", "b"], ["c", "t"], ["d", "x"]]
    with Image.open(run.folder / "leaks.png") as sheet:
        assert np.asarray(sheet).std() > 10
    refuse_findings(result.findings, "run")  # no finding is blocking


def test_an_audit_is_not_repeated_while_its_input_is_unchanged(run: Run) -> None:
    first = audit(run)
    time_of_writing = (run.folder / "leaks.json").stat().st_mtime_ns
    again = audit(run)
    assert (again.counts, again.findings) == (first.counts, first.findings)
    assert (run.folder / "leaks.json").stat().st_mtime_ns == time_of_writing
    change(run, "b", fold=0)
    assert audit(run).findings != first.findings


def test_tied_patients_in_one_fold_are_noted(run: Run) -> None:
    change(run, "b", fold=0)
    what = findings_of(run)
    assert what["byte-identical pairs, within train, one fold"] == ("resolved", [["a", "b"]])
    assert what["groups of cases of several patients"] == ("note", [["a", "b"]])


def test_the_official_list_adds_pairs_that_the_pictures_do_not_show(run: Run) -> None:
    (Path(run.facts()["data"]) / "duplicates.csv").write_text("image_name_1,image_name_2\nb,a\nc,d\n")
    pair(run)
    what = findings_of(run)
    assert what["listed pairs, across folds"] == ("resolved", [["c", "d"]])
    assert what["byte-identical pairs, across folds"] == ("resolved", [["a", "b"]])


@pytest.mark.parametrize(
    ("name", "values", "what"),
    [
        ("t", {"patient_id": "A"}, "patients in both train and test"),
        ("b", {"patient_id": "A"}, "patients in several folds"),
        ("t", {"patient_id": "a "}, "patients in both train and test"),
        ("b", {"patient_id": "a"}, "patients in several folds"),
        ("x", {"patient_id": "extra:a"}, "external cases outside the fold of their patient"),
        ("t", {"fold": 1}, "test cases in a validation fold"),
        ("x", {"fold": 1}, "external cases outside the fold of their patient"),
        ("x", {"patient_id": "A"}, "external cases outside the fold of their patient"),
        ("x", {"patient_id": "T"}, "external cases of test patients"),
    ],
)
def test_an_invalid_case_table_stops_the_run(run: Run, name: str, values: dict[str, object], what: str) -> None:
    change(run, name, **values)
    result = audit(run)
    assert [finding.what for finding in result.findings if finding.severity == BLOCKING] == [what]
    with pytest.raises(InputFault, match=f"1 blocking finding.*\n  - blocking: 1 {what}"):
        refuse_findings(result.findings, "run")


def test_an_external_case_in_the_fold_of_its_patient_is_no_leak(run: Run) -> None:
    change(run, "x", patient_id="A", fold=0)
    result = audit(run)
    assert BLOCKING not in [finding.severity for finding in result.findings]
    what = {finding.what: (finding.severity, finding.names) for finding in result.findings}
    assert what["external cases of training patients"] == ("resolved", ["x"])


def test_ids_that_differ_only_in_case_stop_the_run(run: Run) -> None:
    write_table(run.cases, run.read_cases().rename(index={"d": "A"}))
    pair(run)
    assert findings_of(run)["ids that differ only in case or file ending"] == ("blocking", ["A", "a"])


def write_network(run: Run, name: str, folds: dict[str, int]) -> None:
    fold = pd.Series(folds, dtype="int8").rename_axis("image_name")
    write_table(run.level1 / name / "predictions.parquet", pd.DataFrame({"probability": 0.5, "fold": fold}))


def test_networks_with_other_folds_are_noted_and_split_patients_stop_the_run(run: Run) -> None:
    change(run, "d", patient_id="A")
    write_network(run, "ours", {"a": 0, "b": 1, "c": 1, "d": 0, "t": -1})
    write_network(run, "unknown", dict.fromkeys("abcdt", -1))
    write_network(run, "split", {"a": 0, "b": 1, "c": 1, "d": 1, "t": -1})
    write_network(run, "wide", {"a": 0, "b": 1, "c": 1, "d": 0, "x": 1})
    what = findings_of(run)
    assert what["networks with other folds than ours"] == ("note", ["split (1 rows)"])
    assert what["patients in several folds of split"] == ("blocking", ["A"])
    assert what["external or test cases validated by wide"] == ("blocking", ["x"])


SAME_SCORES = "groups of cases of several patients with the same scores of every network"


def write_scores(run: Run, name: str, **columns: object) -> None:
    """Write a network's table; b and d, of two patients, have the same values."""
    table = pd.DataFrame(columns, index=pd.Index(list("abcd"), name="image_name"))
    table.loc["b"] = table.loc["d"]
    write_table(run.level1 / name / "predictions.parquet", table)


def test_cases_of_several_patients_with_the_same_scores_of_every_network_are_a_warning(run: Run) -> None:
    random = np.random.default_rng(0)
    for name in ("one", "two"):
        write_scores(run, name, probability=random.random(4))
    assert findings_of(run)[SAME_SCORES] == ("warning", [["b", "d"]])


def test_the_same_score_and_spread_of_the_only_network_are_a_warning(run: Run) -> None:
    random = np.random.default_rng(0)
    write_scores(run, "one", probability=random.random(4), spread=random.random(4))
    assert findings_of(run)[SAME_SCORES] == ("warning", [["b", "d"]])


@pytest.mark.parametrize("spread", [0.1, np.nan])
def test_the_same_score_of_the_only_network_alone_says_nothing(run: Run, spread: float) -> None:
    write_scores(run, "one", probability=np.random.default_rng(0).random(4), spread=spread)
    assert SAME_SCORES not in findings_of(run)


def test_a_feature_equal_to_the_target_stops_the_run_and_a_similar_one_is_a_warning(tmp_path: Path, run: Run) -> None:
    rng = np.random.default_rng(0)
    target = pd.Series([0.0, 1.0] * 200, index=[f"n{number}" for number in range(400)]).rename_axis("image_name")
    cases = pd.DataFrame({"role": "train", "fold": np.arange(400) % 5, "target": target}, index=target.index)
    write_table(run.cases, cases.assign(patient_id=cases.index))
    pair(run)
    text = target.map({0.0: "benign", 1.0: "malignant"})
    noise = rng.normal(size=400)
    block = pd.DataFrame(
        {"word": text, "near": noise - 2.7 * target, "noise": noise, "absent": target.where(target > 0)}
    )
    write_table(run.blocks / "mine.parquet", block)
    findings = {finding.name: finding for finding in audit(run).findings}
    severities = {name: finding.severity for name, finding in findings.items()}
    assert severities == {
        "column-mine.absent": "blocking",
        "column-mine.word": "blocking",
        "column-mine.near": "warning",
    }
    assert findings["column-mine.absent"].names == ["mine.absent: whether it is missing, AUC 1.0000 [1.0000, 1.0000]"]


def test_a_run_without_pictures_can_be_audited(run: Run) -> None:
    write_table(run.cases, run.read_cases().drop(columns="picture"))
    pair(run)
    result = audit(run)
    assert result.sentences() == ["checked 6 cases, 0 pictures, 0 networks, 0 feature blocks", "no leak found"]
    assert not (run.folder / "leaks.png").exists()
