"""Tests of workers as jobs of a queue: their settings, their lifetime, and a task on jobs that are local processes."""

from pathlib import Path

import pytest
from distributed import Client

from runtime.cluster.queue import job_options, open_cluster
from runtime.cluster.queue_settings import QueueSettings, read_queue_settings
from runtime.errors import InputFault
from tests.command_line import run_melstack


def write(folder: Path, text: str) -> Path:
    (folder / "cluster.toml").write_text(text)
    return folder / "cluster.toml"


def test_a_worker_ends_before_its_job_with_time_for_others_to_take_over(tmp_path: Path) -> None:
    settings = read_queue_settings(write(tmp_path, 'walltime = "1-02:00:00"\nmemory = "16GB"'))
    assert settings.seconds == 26 * 3600
    assert settings.lifetime + settings.stagger < settings.seconds
    arguments = job_options(settings)["worker_extra_args"]
    assert arguments == ["--lifetime", "93000s", "--lifetime-stagger", "300s"]


def test_a_job_asks_for_what_the_file_says() -> None:
    settings = QueueSettings(
        walltime="2:00:00", memory="16GB", queue="gpu", cores=4, gpus=2, options=["--constraint=a100"]
    )
    options = job_options(settings)
    assert options["job_extra_directives"] == ["--gres=gpu:2", "--constraint=a100"]
    assert (options["queue"], options["job_cpu"], options["cores"]) == ("gpu", 4, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('walltime = "2h"\nmemory = "8GB"', "hours:minutes:seconds"),
        ('walltime = "0:00:10"\nmemory = "8GB"', "at least a minute"),
        ('walltime = "2:00:00"\nmemory = "lots"', "not a size such as 8GB"),
        ('walltime = "2:00:00"', "'memory' is missing"),
        ('walltime = "2:00:00"\nmemory = "8GB"\ngpu = 1', "did you mean 'gpus'"),
    ],
)
def test_a_wrong_cluster_file_is_refused_with_the_key(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputFault, match=message):
        read_queue_settings(write(tmp_path, text))


def test_a_queue_without_its_file_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    output = run_melstack("oof", "--data", tmp_path / "data", "--cluster", "slurm")
    assert output.code == 2
    assert "cluster.toml: no such file" in output.err


@pytest.mark.full
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # its local jobs are not waited for
def test_jobs_of_a_queue_work_on_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, 'walltime = "0:10:00"\nmemory = "1GB"\njobs = 1')
    with open_cluster("local") as address, Client(address, set_as_default=False) as client:
        assert client.submit(sum, [1, 2]).result(timeout=120) == 3
