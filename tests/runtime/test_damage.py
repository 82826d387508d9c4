"""Tests of damage: a byte of any artefact is flipped, or a file cut off, and the next commands name it and mend it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from features.clinic.folder import draw_clinic
from melstack.verify import DAMAGED, STALE, WRITTEN, print_verdicts, verify_run
from runtime.errors import InputFault
from runtime.files import read_json
from runtime.provenance import damages, finish, is_fresh, read_mark, refuse_damaged
from runtime.run_folder import Run
from tests.level1_cnn.drawn_run import TINY, write_model

ROOT = Path(__file__).resolve().parents[2]
TRAINED = 'method = "finetune"\nepochs = 1\nbatch_size = 8\nlearning_rate = 0.01\n'
MODELS = {
    "fixed": f'{TINY}[training]\nmethod = "frozen"\nregularisation = 0.01\n',
    "trained": f"{TINY}[training]\n{TRAINED}",
}
RECIPE = 'learners = ["ridge", "logistic", "rank_mean"]\nblend = ["ridge", "logistic"]\nablation = false\n'


def flip(path: Path) -> None:
    """Change one byte in the middle of a file; its size and times stay."""
    status, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def test_a_flipped_byte_is_found_although_size_and_time_are_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, mark = tmp_path / "table", tmp_path / "run.json"
    table.write_text("0.5,0.6,0.7")
    finish(mark, {"epochs": 3}, [table])
    assert is_fresh(mark, {"epochs": 3}, [table])
    flip(table)
    assert not is_fresh(mark, {"epochs": 3}, [table])
    assert re.search(r"table: damaged, SHA-256 \w+\.\.\. instead of \w+\.\.\. as .*made again", capsys.readouterr().out)
    cut(table)
    assert "damaged, 4 bytes instead of the 11 that were written" in damages(mark)[0]
    table.unlink()
    assert "it is not there any more" in damages(mark)[0]


def test_times_mean_nothing(tmp_path: Path) -> None:
    """A clock that jumps back, a copy, a checkout: what counts is the content."""
    table, mark = tmp_path / "table", tmp_path / "run.json"
    table.write_text("0.5")
    finish(mark, {"epochs": 3}, [table])
    for table_time, mark_time in ((0, 2**31), (2**31, 0)):
        os.utime(table, (table_time, table_time))
        os.utime(mark, (mark_time, mark_time))
        assert is_fresh(mark, {"epochs": 3}, [table])


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"made_from": 3}', "\x00" * 40])
def test_a_damaged_mark_counts_as_not_written_and_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    mark = tmp_path / "run.json"
    mark.write_text(text)
    assert read_mark(mark) is None
    assert not is_fresh(mark, {"epochs": 3})
    assert f"{mark}: a damaged mark" in capsys.readouterr().out.replace("\n", "")


def test_a_mark_in_which_one_digit_changed_is_damaged_not_made_from_other_things(tmp_path: Path) -> None:
    mark = tmp_path / "run.json"
    finish(mark, {"epochs": 33})
    mark.write_text(mark.read_text().replace("33", "38"))
    assert read_mark(mark) is None


def test_a_mark_of_before_has_no_digests_and_is_as_good_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"made_from": {"epochs": 3}}')
    assert is_fresh(tmp_path / "run.json", {"epochs": 3})


def test_a_large_file_is_looked_at_by_size_and_by_digest_when_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.provenance.LARGE_BYTES", 5)
    weights, mark = tmp_path / "weights", tmp_path / "done.json"
    weights.write_text("0123456789")
    finish(mark, {}, [weights])
    flip(weights)
    assert is_fresh(mark, {})
    assert not is_fresh(mark, {}, whole=True)
    with pytest.raises(InputFault, match="weights: damaged, SHA-256"):
        refuse_damaged(mark, "train it again")
    assert not is_fresh(mark, {})  # so that the next command makes it again


class Commands:
    """The commands of ``make submission`` on a run."""

    def __init__(self, folder: Path) -> None:
        self.run, self.data = Run(folder / "run"), folder / "data"
        self.models = " ".join(write_model(folder, name, text) for name, text in MODELS.items())
        self.recipe = folder / "plain.toml"
        self.recipe.write_text(RECIPE)

    def all(self) -> str:
        """Run them all; return what they said."""
        run, recipe = self.run.folder, self.recipe
        return "".join(
            self.one(line)
            for line in (
                f"melstack cases --run {run} --data {self.data} --folds 3",
                f"melstack audit --run {run}",
                f"melstack oof --run {run} --deterministic --devices cpu --models",
                f"melstack submission --run {run} --recipe {recipe}",
                f"melstack bundle --run {run} --recipe {recipe}",
            )
        )

    def one(self, line: str) -> str:
        words = [*line.split(), *([self.models] if line.endswith("--models") else [])]
        done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def files(self) -> dict[str, bytes]:
        """Return every file that a mark records."""
        places = [self.run.folder, self.run.folder.parent / "pictures"]
        marks = [mark for place in places for mark in place.rglob("*.json")]
        contents = {mark: json.loads(mark.read_text()) for mark in marks}
        named = {
            os.path.normpath(mark.parent / name)
            for mark, content in contents.items()
            if isinstance(content, dict)
            for name in content.get("outputs", {})
        }
        return {name: Path(name).read_bytes() for name in sorted(named)}


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    folder = tmp_path_factory.mktemp("damage")
    draw_clinic(folder / "data", train=48, test=16, seed=1)
    made = Commands(folder)
    made.all()
    return made


FILES = [
    *("cases.parquet", "leaks/pairs.json", "shards/statistics.parquet"),
    *("level1/fixed/predictions.parquet", "level1/trained/embeddings.parquet"),
    *("level1/fixed/fold_0/predictions.parquet", "level1/fixed/fold_1/head.npz", "level1/fixed/views.npy"),
    *("level1/trained/fold_0/views.parquet", "level1/trained/fold_1/model.weights.h5"),
    *("features/patient.parquet", "level2/plain/predictions.parquet", "level2/plain/decisions.json"),
    *("level2/plain/metrics.csv", "submission.csv", "bundle/manifest.json", "bundle/networks/trained/fold_0.onnx"),
]
MARKS = [
    *("cases.json", "leaks.json", "shards/statistics.json", "level1/fixed/run.json", "level1/trained/fold_0/done.json"),
    *("level1/trained/begun.json", "level1/fixed/embedded.json", "features/patient.json", "level2/plain/run.json"),
    *("submission.json", "bundle.json"),
]


@pytest.mark.full
@pytest.mark.parametrize("names", [FILES, MARKS], ids=["files", "marks"])
def test_whatever_is_damaged_is_named_and_made_again_as_it_was(commands: Commands, names: list[str]) -> None:
    """All at once, each by one byte in its middle; no file differs afterwards."""
    before, run = commands.files(), commands.run.folder
    assert "damaged" not in commands.all()
    assert {verdict.state for verdict in verify_run(commands.run)} == {WRITTEN}
    for name in names:
        flip(run / name)
    verdicts = verify_run(commands.run)
    assert print_verdicts(commands.run, verdicts) >= 9
    told = "\n".join(reason for verdict in verdicts if verdict.state == DAMAGED for reason in verdict.reasons)
    assert [name for name in names if str(run / name) not in told] == []
    said = commands.all().replace("\n", "")
    unnamed = [name for name in names if str(run / name) not in said]
    assert unnamed == []
    after = commands.files()
    assert [name for name in before if after[name] != before[name]] == []
    assert {verdict.state for verdict in verify_run(commands.run)} == {WRITTEN}


@pytest.mark.full
def test_damaged_decoded_pictures_are_named_and_decoded_again(commands: Commands) -> None:
    """They are looked at when a network is about to be trained on them."""
    before, store = commands.files(), next((commands.run.folder.parent / "pictures").iterdir())
    flip(next(store.glob("32/train*.tfrec")))
    cut(next(store.glob("32/test*.tfrec")))
    cut(store / "parts" / "test00" / "index.parquet")
    (commands.run.level1 / "trained" / "fold_0" / "done.json").write_text("{")
    said = commands.all().replace("\n", "")
    assert "train00-48.tfrec: damaged, SHA-256" in said
    assert "test00: what it holds cannot be told any more; its pictures are decoded again" in said
    after = commands.files()
    assert [name for name in before if after[name] != before[name]] == []


@pytest.mark.full
def test_a_changed_table_of_the_user_makes_the_cases_stale_not_damaged(commands: Commands) -> None:
    sample = commands.data / "sample_submission.csv"
    text = sample.read_text()
    sample.write_text(text.rstrip("\n"))
    verdicts = {verdict.mark: verdict for verdict in verify_run(commands.run)}
    sample.write_text(text)
    cases = verdicts[commands.run.cases_mark]
    assert cases.state == STALE
    assert cases.reasons[0].startswith("files.sample_submission.csv: ")
    assert {verdict.state for verdict in verdicts.values()} == {WRITTEN, STALE}


@pytest.mark.full
def test_a_damaged_case_table_that_cannot_be_made_again_is_refused_and_left(commands: Commands) -> None:
    """Folds are decided once: another table under the same name would be another run."""
    mark, table = commands.run.cases_mark, commands.run.cases
    kept, text, written = table.read_bytes(), mark.read_text(), read_json(mark)
    facts = {key: value for key, value in written.items() if key not in ("made_from", "outputs", "mark")}
    table.write_bytes(b"of another program")
    finish(mark, written["made_from"], [table, commands.run.pairs], **facts)
    cut(table)
    refused = subprocess.run(
        [sys.executable, "-m", *f"melstack cases --run {commands.run.folder} --data {commands.data} --folds 3".split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 2
    assert "the same data do not give the same table any more" in refused.stderr
    assert table.read_bytes() == b"of another program"[:-7]
    table.write_bytes(kept)
    mark.write_text(text)
