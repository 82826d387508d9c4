"""The pictures per second of a batch through the server, and of `melstack predict` for the same pictures."""

import io
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from benchmarks.server.page_under_load import Server
from features.pictures.suffixes import KIND_OF_SUFFIX
from runtime.errors import InputFault
from runtime.progress import say


def run_batch_trial(bundle: Path, data: Path, patients: int) -> bool:
    """Print both speeds and the largest difference of a probability; return whether the probabilities are equal.

    Every patient has one picture of ``data``; a picture is used again if there are fewer than ``patients``. The time of
    `melstack predict` includes its start, that of the server does not. Raises InputFault if ``data`` has no picture.
    """
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        table = _write_folder(data, folder / "data", patients)
        start = time.perf_counter()
        command = [sys.executable, "-m", "melstack", "predict", "--bundle", str(bundle), "--data", str(folder / "data")]
        subprocess.run([*command, "--out", str(folder / "predicted")], check=True, stdout=subprocess.DEVNULL)
        alone = time.perf_counter() - start
        expected = pd.read_csv(folder / "predicted" / "submission.csv", index_col="image_name")["target"]
        with Server(bundle) as server:
            seconds, answer = _ask(server, folder / "data", table)
    difference = float((answer.loc[expected.index] - expected).abs().max())
    say(f"melstack predict: {patients / alone:.1f} pictures/s, its start included ({alone:.1f} s)")
    say(f"/v1/batch:        {patients / seconds:.1f} pictures/s ({seconds:.1f} s)")
    say(f"ratio {alone / seconds:.2f}; largest difference of a probability {difference:.1e}")
    return difference < 1e-6


def _write_folder(data: Path, folder: Path, patients: int) -> pd.DataFrame:
    """Write a data folder with ``patients`` pictures of ``data``; return its table, as the server takes it."""
    sources = sorted(path for path in data.rglob("*") if path.suffix.lower() in KIND_OF_SUFFIX)
    if not sources:
        raise InputFault(f"{data}: no pictures to send; give a data folder with pictures")
    pictures = folder / "jpeg" / "test"
    pictures.mkdir(parents=True)
    names = [f"case_{number:05}" for number in range(patients)]
    for number, name in enumerate(names):
        source = sources[number % len(sources)]
        shutil.copyfile(source, pictures / f"{name}{source.suffix}")
    cases = pd.DataFrame({"image_name": names, "patient_id": names, "sex": "female", "age_approx": 50})
    cases.to_csv(folder / "test.csv", index=False)
    files = sorted(path.name for path in pictures.iterdir())
    return pd.DataFrame({"picture": files, "patient_id": names, "sex": "female", "age": 50})


def _ask(server: Server, folder: Path, table: pd.DataFrame) -> tuple[float, pd.Series]:
    """Return the seconds until the last line of the answer, and the probability of every patient."""
    content = io.BytesIO(table.to_csv(index=False).encode())
    pictures = [("pictures", (name, (folder / "jpeg" / "test" / name).read_bytes())) for name in table["picture"]]
    start = time.perf_counter()
    response = server.client.post("/v1/batch", files=[*pictures, ("table", ("table.csv", content))])
    seconds = time.perf_counter() - start
    response.raise_for_status()
    lines = [json.loads(line) for line in response.text.splitlines()]
    return seconds, pd.Series({line["patient_id"]: float(line["probability"]) for line in lines})
