"""Wrong settings are refused before any work: with exit code 2, a sentence, in a few seconds, and nothing is written.

`EVERY_REFUSAL=1 pytest tests/melstack/test_wrong_settings.py -m full -s` prints the seconds of the table in
docs/command_line.md.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from level1_cnn.hardware.gpu_nodes import check_gpus
from melstack.options import CasesOptions, NetworkOptions, StackOptions
from melstack.steps.stacking import stack_run
from runtime.errors import InputFault
from runtime.files import check_writable
from runtime.run_folder import Run
from tests.command_line import run_melstack
from tests.features.small_clinic import small_clinic
from tests.level1_cnn.drawn_run import FINETUNE_TOML
from tests.level2_stack.foreign.foreign_files import write_foreign
from tests.sources import ROOT
from tests.tiny_project import MODELS

TRAIN, TEST = ["a1", "a2", "b1", "b2"], ["t1", "t2"]
# The slowest refusal may take this many times the CPU time of importing what most commands need: a ratio, because
# the CPU seconds themselves double while other programs use the same cores.
IMPORTS, TIMES = "import pandas, scipy.stats, sklearn.ensemble", 5.0

EVERY = os.environ.get("EVERY_REFUSAL") == "1"


@dataclass(frozen=True)
class Refusal:
    """A command with a wrong setting, and a part of its message. ``has_cases``: of the run, frozen before."""

    words: str
    message: str
    has_cases: bool = False


REFUSALS = {
    "recipe": Refusal("submission --recipe defalt", "did you mean 'default'?"),
    "repeats": Refusal(
        "submission --recipe {folder}/repeats.toml --folds-by sex",
        "repeats = 3 has no meaning here: the folds are made by",
    ),
    "profile": Refusal("submission --profile gpuu", "did you mean 'gpu'?"),
    "model": Refusal("submission --models lite0_96_frosen", "did you mean 'lite0_96_frozen'?"),
    "parts_of_epochs": Refusal("oof --models {folder}/parts.toml", "progressive_sides = [48] must be below image_size"),
    "model_without_extra": Refusal("oof --profile external", "needs external pictures for training"),
    "prevalence": Refusal("submission --prevalence 1.76", "is not a share between 0 and 1"),
    "devices": Refusal("submission --devices gpuu", "is not one of auto, cpu"),
    "missing_gpu": Refusal("submission --devices gpu:99", "devices = 'gpu:99': this machine has"),
    "cluster": Refusal(
        "submission --cluster tcp://127.0.0.1:{closed}", "no Dask scheduler answers at tcp://127.0.0.1:"
    ),
    "queue": Refusal("submission --cluster {folder}/nope.toml", "nope.toml: no such file; it says what a job is given"),
    "foreign": Refusal("submission --foreign {folder}/nope", "nope: no such folder"),
    "foreign_empty": Refusal("submission --foreign {folder}/empty", "no predictions; expected sub-folders"),
    "foreign_damaged": Refusal("submission --foreign {folder}/damaged", "every network is refused"),
    "foreign_other_cases": Refusal("submission --foreign {folder}/others --folds 2", "not in the case table", True),
    "foreign_name": Refusal("stack --foreign {folder}/intact --models {folder}/cnn.toml", "names of models to train"),
    "trust": Refusal("submission --foreign {folder}/intact --trust cnnn", "trust names 'cnnn'"),
    "folds": Refusal("cases --folds 3", "3 folds need 3 patients with a malignant picture; found 2"),
    "one_fold": Refusal("cases --folds 1", "greater than or equal to 2"),
    "two_values": Refusal("cases --folds 2 --folds 3", "takes one value, found 2 and 3"),
    "extra": Refusal("submission --extra {folder}/nope", "nope"),
    "mapping": Refusal("submission --mapping {folder}/nope.toml", "nope.toml"),
    "run_is_a_file": Refusal("submission --run {folder}/file", "a file, but the files of the command need a folder"),
    "search": Refusal("tune --model lite0_128 --search finetun", "did you mean 'finetune'?"),
    "model_to_tune": Refusal("tune --model lite0_128_frozen", "has no settings to tune"),
    "fold": Refusal("lr-find --model lite0_128 --fold 9", "--fold 9: the run has the folds 0 to 4"),
    "model_of_sheet": Refusal("augment-sheet --model lite0_182", "model 'lite0_182' does not exist"),
    "port": Refusal("serve --bundle {folder} --port {open}", "the port cannot be opened"),
    "bundle": Refusal("serve --bundle {folder}/nope --port 0", "nope: not a bundle"),
    "bundle_to_predict": Refusal("predict --bundle {folder}/nope --out {folder}/out", "nope: not a bundle"),
    "out": Refusal("predict --bundle {folder} --out {folder}/file/out", "a file, but the files of the command need"),
    "token": Refusal("serve --bundle {folder} --port 0 --host 0.0.0.0", "it needs a token"),
    "token_file": Refusal("serve --bundle {folder} --port 0 --token-file {folder}/file", "one line of at least 20"),
    "address": Refusal("serve --bundle {folder} --port 0 --address melstack.example", "must be the URL"),
    "certificate": Refusal("serve --bundle {folder} --port 0 --certificate {folder}/file", "and its private key"),
    "log": Refusal("serve --bundle {folder} --port 0 --log {folder}/file/log", "the log cannot be opened"),
    "keep": Refusal("serve --bundle {folder} --keep {folder}/file/keep", "a file, but the files of the command need"),
    "key": Refusal("sign --bundle {folder}", "Missing option --key"),
    "bundle_to_sign": Refusal("sign --bundle {folder}/nope --key {folder}/file", "nope: not a bundle"),
    "public_key": Refusal(
        "predict --bundle {folder} --require-signature {folder}/nope --out {folder}/out", "nope: no such"
    ),
    "key_to_require": Refusal("serve --bundle {folder} --port 0 --require-signature {folder}/file", "not a public key"),
    "cores": Refusal("submission --cores 100000", "can be used here (affinity, container, scheduler)"),
    "memory": Refusal("submission --memory lots", "not a size such as 8GB"),
    "root": Refusal("leaderboard --root {folder}/file", "a file, but the files of the command need a folder"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a tiny clinic and good and bad predictions of other networks for it."""
    small_clinic(tmp_path / "data")
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "cnn.toml").write_text(MODELS["frozen"])
    (tmp_path / "parts.toml").write_text(FINETUNE_TOML + "progressive_sides = [48]\n")
    (tmp_path / "repeats.toml").write_text("repeats = 3\n")
    write_foreign(tmp_path / "intact", "cnn", table(TRAIN), table(TEST))
    write_foreign(tmp_path / "others", "cnn", table(["x1", "x2"]), table(TEST))
    write_foreign(tmp_path / "damaged", "text", "image_name,pred\na1,high\n", table(TEST))
    write_foreign(tmp_path / "damaged", "logits", table(TRAIN, 7), table(TEST))
    write_foreign(tmp_path / "damaged", "without_scores", "image_name\na1\n", table(TEST))
    write_foreign(tmp_path / "damaged", "without_ids", "pred\n0.1\n", table(TEST))
    write_foreign(tmp_path / "damaged", "two_values", "image_name,pred\na1,0.1\na1,0.2\n", table(TEST))
    write_foreign(tmp_path / "damaged", "no_oof", None, table(TEST))
    return tmp_path


def table(ids: list[str], factor: float = 1.0) -> str:
    """Return a CSV with a score for each of ``ids``."""
    return "image_name,pred\n" + "".join(f"{name},{0.1 * factor * place}\n" for place, name in enumerate(ids, start=1))


def words_of(refusal: Refusal, folder: Path, open_port: int = 0, closed_port: int = 0) -> list[str]:
    """Return the words of the command, with the clinic as its data if it reads cases and names no run."""
    text = refusal.words.format(folder=folder, open=open_port, closed=closed_port)
    verb = text.split()[0]
    data = ["--data", str(folder / "data")] if verb not in ("serve", "leaderboard") else []
    run = ["--run", str(folder / "run")] if data and verb != "predict" and "--run" not in text else []
    return [*text.split(), *data, *run]


@pytest.fixture
def ports() -> Iterator[tuple[int, int]]:
    """Yield a port that is in use, and one that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as other:
        other.bind(("127.0.0.1", 0))  # bound, but not listening
        yield listener.getsockname()[1], other.getsockname()[1]


@pytest.mark.parametrize("name", REFUSALS)
def test_a_wrong_setting_is_refused_before_any_work(name: str, folder: Path, ports: tuple[int, int]) -> None:
    refusal = REFUSALS[name]
    before = freeze_if(refusal, folder)
    output = run_melstack(*words_of(refusal, folder, *ports))
    assert output.code == 2, output.out
    assert refusal.message in " ".join(output.err.replace("│", " ").split())
    assert files_of(folder / "run") == before
    assert not (folder / "out").exists()


def freeze_if(refusal: Refusal, folder: Path) -> dict[str, bytes]:
    """Freeze the cases if the setting can only be checked against them; return the files of the run."""
    if refusal.has_cases:
        assert run_melstack("cases", "--data", folder / "data", "--run", folder / "run", "--folds", 2).code == 0
    return files_of(folder / "run")


def files_of(folder: Path) -> dict[str, bytes]:
    """Return path -> content of the files of a run, without its records of commands."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name not in ("commands.jsonl", "log.txt")]
    return {str(path): path.read_bytes() for path in paths}


@pytest.mark.full
def test_a_refusal_of_each_command_takes_a_few_seconds(folder: Path, ports: tuple[int, int]) -> None:
    most = TIMES * max(cpu_seconds([sys.executable, "-c", IMPORTS])[0] for _ in range(3))
    slow, of_each_command = [], {refusal.words.split()[0]: name for name, refusal in REFUSALS.items()}
    for name in REFUSALS if EVERY else of_each_command.values():
        refusal = REFUSALS[name]
        shutil.rmtree(folder / "run", ignore_errors=True)
        freeze_if(refusal, folder)
        call = [sys.executable, "-m", "melstack", *words_of(refusal, folder, *ports)]
        seconds, code = cpu_seconds(call)
        print(f"{name:20} {seconds:4.1f} s of a CPU; at most {most:.1f} s  melstack {refusal.words}")
        assert code == 2
        slow += [name] if seconds > most else []
    assert slow == []


def cpu_seconds(call: list[str]) -> tuple[float, int]:
    """Run ``call``; return its seconds of CPU time and its exit code."""
    before = os.times()
    process = subprocess.run(call, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, check=False)
    after = os.times()
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, process.returncode


def test_a_damaged_folder_names_the_fault_of_every_network(folder: Path) -> None:
    output = run_melstack("stack", "--data", folder / "data", "--run", folder / "run", "--foreign", folder / "damaged")
    for fault in (
        "text: oof.csv: 'pred' is not a number in rows: 1 (a1)",
        "logits: oof.csv: values outside [0, 1]: 2 (a2, b1",
        "without_scores: oof.csv: no score column",
        "without_ids: oof.csv: no column of ids",
        "two_values: oof.csv: repeated ids with different values: 1 (a1)",
        "no_oof: oof.csv is missing",
    ):
        assert fault.partition("2 (")[0] in output.err
    assert not (folder / "run").exists()


def test_networks_of_other_cases_are_refused_before_anything_is_trained(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("melstack.steps.training.train", lambda *_: pytest.fail("a network is trained"))
    source = CasesOptions(folder / "data", folder / "run", folds=2)
    with pytest.raises(InputFault, match="not in the case table"):
        stack_run(source, NetworkOptions(), StackOptions(foreign=folder / "others"), None)
    assert not Run(folder / "run").networks()


def test_imported_tables_are_used_when_their_folder_is_gone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from level2_stack.foreign.bring import import_into_run, networks_in

    words = ["cases", "--data", folder / "data", "--run", folder / "run", "--folds", 2]
    assert run_melstack(*words).code == 0
    run = Run(folder / "run")
    import_into_run(run, folder / "intact", ["cnn"])
    shutil.rmtree(folder / "intact")
    import_into_run(run, folder / "intact", ["cnn"])
    assert "the tables that were imported from it are used" in capsys.readouterr().out
    assert networks_in(folder / "intact", run) == ["cnn"]
    for other_folder, trust in ((folder / "elsewhere", ["cnn"]), (folder / "intact", [])):
        with pytest.raises(InputFault, match="no such folder"):
            import_into_run(run, other_folder, trust)
    (run.level1 / "cnn" / "predictions.parquet").write_bytes(b"damaged")
    with pytest.raises(InputFault, match="no such folder"):
        networks_in(folder / "intact", run)


def test_an_experiment_that_does_not_exist_is_refused_before_tables_are_read(tmp_path: Path) -> None:
    stack = tmp_path / "runs" / "one" / "level2" / "default"
    stack.mkdir(parents=True)
    (stack / "run.json").write_text("{}")
    output = run_melstack("leaderboard", "--root", tmp_path / "runs", "--against", "one/defalt")
    assert "--against one/defalt: no such experiment; did you mean 'one/default'?" in output.err


def test_patients_who_are_not_in_the_run_are_refused_before_tensorflow_starts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = pd.DataFrame({"patient_id": ["p1", "p2"]})
    monkeypatch.setattr("melstack.commands.report.run_with_stack", lambda *_: Run(folder / "run"))
    monkeypatch.setattr(Run, "read_cases", lambda _: cases)
    monkeypatch.setattr("melstack.commands.report._explain_columns", lambda *_: pytest.fail("work has begun"))
    output = run_melstack("explain", "--run", folder / "run", "--patients", "p3")
    assert "patients who are not in the run: 1 (p3)" in output.err


def test_a_number_out_of_range_is_named_as_make_has_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MELSTACK_TYPED_BY", "make")
    assert "FOLDS=1" in run_melstack("cases", "--data", tmp_path, "--folds=1").err
    monkeypatch.delenv("MELSTACK_TYPED_BY")
    assert "--folds 1" in run_melstack("cases", "--data", tmp_path, "--folds", "1").err


def test_gpus_are_counted_by_their_device_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    for devices in ("auto", "cpu:2", "gpu:0,1", "mirrored", "workers", "tpu"):
        check_gpus(devices, tmp_path)
    with pytest.raises(InputFault, match=r"'gpu:1,2': this machine has 2 GPU\(s\)"):
        check_gpus("gpu:1,2", tmp_path)
    (tmp_path / "kfd").touch()
    check_gpus("gpu:7", tmp_path)


def test_a_folder_that_can_be_written_is_left_as_it_is(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "folder")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputFault, match="cannot be written"):
        check_writable(Path("/proc/1/new"))
