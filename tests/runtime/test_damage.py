"""Tests of damaged artefacts: a byte is flipped or a file cut short; the next command names it and makes it again."""

import json
import os
import re
from pathlib import Path

import pytest

from features.folder.layout import Request
from features.freeze_cases import freeze_cases
from melstack.verify import DAMAGE, INTACT, STALE, print_verdicts, verify_run
from runtime.errors import InputFault
from runtime.files import read_json
from runtime.provenance import MARK_KEYS, check_outputs, find_damage, is_fresh, read_mark, write_mark
from runtime.run_folder import Run
from tests.command_line import run_melstack
from tests.features.small_clinic import small_clinic
from tests.tiny_project import TRAIN, FinishedRun, TinyProject


def flip(path: Path) -> None:
    """Change one byte in the middle of a file, but neither its size nor its times."""
    status, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def test_a_flipped_byte_is_found_although_size_and_time_are_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, mark = tmp_path / "table", tmp_path / "run.json"
    table.write_text("0.5,0.6,0.7")
    write_mark(mark, {"epochs": 3}, [table])
    assert is_fresh(mark, {"epochs": 3}, [table])
    flip(table)
    assert not is_fresh(mark, {"epochs": 3}, [table])
    assert re.search(
        r"table: damaged, SHA-256 \w+\.\.\. instead of \w+\.\.\. that .*made again", capsys.readouterr().out
    )
    truncate(table)
    assert "damaged, 4 bytes instead of the 11 that were written" in find_damage(mark)[0]
    table.unlink()
    assert "missing, although it was written" in find_damage(mark)[0]


def test_times_of_files_do_not_matter(tmp_path: Path) -> None:
    """Clocks jump back, and copies and checkouts have new times; only the content counts."""
    table, mark = tmp_path / "table", tmp_path / "run.json"
    table.write_text("0.5")
    write_mark(mark, {"epochs": 3}, [table])
    for table_time, mark_time in ((0, 2**31), (2**31, 0)):
        os.utime(table, (table_time, table_time))
        os.utime(mark, (mark_time, mark_time))
        assert is_fresh(mark, {"epochs": 3}, [table])


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"made_from": 3}', "\x00" * 40])
def test_a_damaged_mark_counts_as_missing_and_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    mark = tmp_path / "run.json"
    mark.write_text(text)
    assert read_mark(mark) is None
    assert not is_fresh(mark, {"epochs": 3})
    assert f"{mark}: a damaged mark" in capsys.readouterr().out.replace("\n", "")


def test_a_mark_with_one_changed_digit_is_damaged_not_stale(tmp_path: Path) -> None:
    mark = tmp_path / "run.json"
    write_mark(mark, {"epochs": 33})
    mark.write_text(mark.read_text().replace("33", "38"))
    assert read_mark(mark) is None


def test_an_older_mark_without_digests_is_still_fresh(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"made_from": {"epochs": 3}}')
    assert is_fresh(tmp_path / "run.json", {"epochs": 3})


def test_of_a_large_file_the_size_is_compared_and_the_digest_when_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.provenance.LARGE_BYTES", 5)
    weights, mark = tmp_path / "weights", tmp_path / "done.json"
    weights.write_text("0123456789")
    write_mark(mark, {}, [weights])
    flip(weights)
    assert is_fresh(mark, {})
    assert not is_fresh(mark, {}, hash_all=True)
    with pytest.raises(InputFault, match="weights: damaged, SHA-256"):
        check_outputs(mark, "train it again")
    assert not is_fresh(mark, {})  # so that the next command makes it again


class RepeatableRun:
    """A run of `make submission` on the tiny project that tests may damage and make again."""

    def __init__(self, project: TinyProject, folder: Path) -> None:
        self.project, self.run = project, Run(folder / "run")
        self.make()

    def make(self) -> str:
        """Run `make submission` and return its output as one line."""
        result = self.project.make("submission", self.run, DETERMINISTIC="1", DEVICES="cpu")
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout.replace("\n", "")

    def files(self) -> dict[str, bytes]:
        """Return path -> content of every file that a mark records."""
        folders = [self.run.folder, self.run.folder.parent / "pictures"]
        marks = [mark for folder in folders for mark in folder.rglob("*.json")]
        contents = {mark: json.loads(mark.read_text()) for mark in marks}
        paths = {
            os.path.normpath(mark.parent / name)
            for mark, content in contents.items()
            if isinstance(content, dict)
            for name in content.get("outputs", {})
        }
        return {path: Path(path).read_bytes() for path in sorted(paths)}


@pytest.fixture(scope="module")
def repeatable(project: TinyProject, tmp_path_factory: pytest.TempPathFactory) -> RepeatableRun:
    return RepeatableRun(project, tmp_path_factory.mktemp("damage"))


FILES = [
    *("cases.parquet", "leaks/pairs.json", "shards/statistics.parquet"),
    *("level1/frozen/predictions.parquet", "level1/tuned/embeddings.parquet"),
    *("level1/frozen/fold_0/predictions.parquet", "level1/frozen/fold_1/head.npz", "level1/frozen/views.npy"),
    *("level1/tuned/fold_0/views.parquet", "level1/tuned/fold_1/model.weights.h5"),
    *("features/patient.parquet", "level2/quick/predictions.parquet", "level2/quick/decisions.json"),
    *("level2/quick/metrics.csv", "submission.csv", "bundle/manifest.json", "bundle/networks/tuned/fold_0.onnx"),
]
MARKS = [
    *("cases.json", "leaks.json", "shards/statistics.json", "level1/frozen/run.json", "level1/tuned/fold_0/done.json"),
    *("level1/tuned/begun.json", "level1/frozen/embedded.json", "features/patient.json", "level2/quick/run.json"),
    *("submission.json", "bundle.json"),
]


def flip_and_verify(run: Run, names: list[str]) -> list[str]:
    """Flip a byte of each file and verify the run; return the files that are not reported as damaged."""
    for name in names:
        flip(run.folder / name)
    verdicts = verify_run(run)
    assert print_verdicts(run, verdicts)[DAMAGE] >= 9
    reasons = "\n".join(reason for verdict in verdicts if verdict.state == DAMAGE for reason in verdict.reasons)
    return [name for name in names if str(run.folder / name) not in reasons]


@pytest.mark.parametrize("names", [FILES, MARKS], ids=["files", "marks"])
def test_every_file_with_a_flipped_byte_is_reported_as_damaged(
    finished_run: FinishedRun, tmp_path: Path, names: list[str]
) -> None:
    run = finished_run.copy_to(tmp_path)
    assert {verdict.state for verdict in verify_run(run)} == {INTACT}
    assert flip_and_verify(run, names) == []


@pytest.mark.full
@pytest.mark.parametrize("names", [FILES, MARKS], ids=["files", "marks"])
def test_every_damaged_file_is_named_and_made_again_byte_by_byte(repeatable: RepeatableRun, names: list[str]) -> None:
    """All files are damaged at once, each by one byte in its middle; no file differs afterwards."""
    before = repeatable.files()
    assert flip_and_verify(repeatable.run, names) == []
    output = repeatable.make()
    assert [name for name in names if str(repeatable.run.folder / name) not in output] == []
    after = repeatable.files()
    assert [name for name in before if after[name] != before[name]] == []
    assert {verdict.state for verdict in verify_run(repeatable.run)} == {INTACT}


@pytest.mark.full
def test_damaged_decoded_pictures_are_named_and_decoded_again(repeatable: RepeatableRun) -> None:
    """Decoded pictures are checked before a network is trained on them."""
    before, store = repeatable.files(), next((repeatable.run.folder.parent / "pictures").iterdir())
    flip(next(store.glob("32/train*.tfrec")))
    truncate(next(store.glob("32/test*.tfrec")))
    truncate(store / "parts" / "test00" / "index.parquet")
    (repeatable.run.level1 / "tuned" / "fold_0" / "done.json").write_text("{")
    output = repeatable.make()
    assert f"train00-{TRAIN}.tfrec: damaged, SHA-256" in output
    assert "test00: the list of its pictures is damaged; they are decoded again" in output
    after = repeatable.files()
    assert [name for name in before if after[name] != before[name]] == []


@pytest.fixture
def run_with_cases(tmp_path: Path) -> Run:
    """Return a run of the small clinic with its cases and their audit."""
    run = Run(tmp_path / "run")
    freeze_cases(run, Request(small_clinic(tmp_path / "data"), folds=2))
    assert run_melstack("audit", "--run", run.folder).code == 0
    return run


def test_a_changed_table_of_the_user_makes_the_cases_stale_not_damaged(run_with_cases: Run, tmp_path: Path) -> None:
    sample = tmp_path / "data" / "sample_submission.csv"
    sample.write_text(sample.read_text().rstrip("\n"))
    verdicts = {verdict.mark: verdict for verdict in verify_run(run_with_cases)}
    assert verdicts[run_with_cases.cases_mark].state == STALE
    assert verdicts[run_with_cases.cases_mark].reasons[0].startswith("files.sample_submission.csv: ")
    assert {verdict.state for verdict in verdicts.values()} == {INTACT, STALE}


def test_a_damaged_case_table_that_cannot_be_made_again_is_refused_and_left(
    run_with_cases: Run, tmp_path: Path
) -> None:
    """Folds are decided once: another table under the same name would be another run."""
    run, mark = run_with_cases, read_json(run_with_cases.cases_mark)
    facts = {key: value for key, value in mark.items() if key not in MARK_KEYS}
    run.cases.write_bytes(b"of another program")
    write_mark(run.cases_mark, mark["made_from"], [run.cases, run.pairs], **facts)
    truncate(run.cases)
    end = run_melstack("cases", "--run", run.folder, "--data", tmp_path / "data", "--folds", 2)
    assert end.code == 2
    assert "the same data now give another table" in end.err
    assert run.cases.read_bytes() == b"of another program"[:-7]
