"""Log experiments to MLflow, an optional extra, in a local SQLite store."""

import importlib
import importlib.util
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from melstack.report.run_history.stacks import Experiment
from runtime.errors import InputFault
from runtime.progress import say
from runtime.provenance import digest, digest_of_file

# MLflow 3.7 made SQLite its default; folders of files (`mlruns`) are kept alive without new features.
DATABASE = "mlflow.db"
IDENTITY = "melstack.identity"
KEY_ALLOWS = re.compile(r"[^\w\-. /]")  # all other characters are refused in a key
LONGEST_VALUE = 500  # characters; older stores hold no more
BATCH = 90  # parameters or tags per call; MLflow takes 100
TEXTS = ("headline", "submitted", "finished")  # of what was measured; the rest are numbers


def log_history(experiments: Sequence[Experiment], store: Path) -> int:
    """Log every experiment that is not there yet to the MLflow store in folder ``store``; return how many were new.

    The folder holds ``mlflow.db`` and is made where it is not there. One MLflow run per stack, in one MLflow experiment
    per run folder: settings as parameters, what was measured as metrics, the paths of the artefacts as tags (nothing
    is copied). A stack that was made again is another run. Raises InputFault where MLflow is not installed.
    """
    client = _client(store)
    new = sum(_log(client, store, one) for one in experiments)
    say(f"MLflow: {new} new of {len(experiments)} experiments; mlflow ui --backend-store-uri {_address(store)}")
    return new


def _address(store: Path) -> str:
    return f"sqlite:///{(store / DATABASE).resolve().as_posix()}"


def _client(store: Path) -> Any:  # noqa: ANN401  MLflow need not be installed to check types
    if importlib.util.find_spec("mlflow") is None:
        raise InputFault("MLflow is not installed; `pip install 'melstack[mlflow]'` brings it")
    store.mkdir(parents=True, exist_ok=True)
    # Read on import: what somebody tries on patients' data is nobody else's business.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    return importlib.import_module("mlflow").MlflowClient(tracking_uri=_address(store))


def _log(client: Any, store: Path, one: Experiment) -> bool:  # noqa: ANN401
    """Log one experiment; return False where it was logged before."""
    identity = digest([str(one.folder.resolve()), digest_of_file(one.folder / "run.json")])
    group = _group(client, store, one.name.rpartition("/")[0])
    if client.search_runs([group], f"tags.`{IDENTITY}` = '{identity}'"):
        return False
    finished = int((one.folder / "run.json").stat().st_mtime * 1000)
    logged = client.create_run(group, start_time=finished, run_name=one.name).info.run_id
    for name, value in _metrics(one.measured).items():
        client.log_metric(logged, name, value, timestamp=finished)
    entities = importlib.import_module("mlflow.entities")
    for part in _parts(one.settings):
        client.log_batch(logged, params=[entities.Param(key, value) for key, value in part.items()])
    for part in _parts(_tags(one)):
        client.log_batch(logged, tags=[entities.RunTag(key, value) for key, value in part.items()])
    client.set_terminated(logged, "FINISHED", finished)
    client.set_tag(logged, IDENTITY, identity)  # last: what was cut off is logged again
    return True


def _group(client: Any, store: Path, name: str) -> str:  # noqa: ANN401
    known = client.get_experiment_by_name(name)
    if known is not None:
        return str(known.experiment_id)
    return str(client.create_experiment(name, artifact_location=(store / "artifacts" / name).resolve().as_uri()))


def _metrics(measured: Mapping[str, Any]) -> dict[str, float]:
    numbers = {name: value for name, value in measured.items() if name not in TEXTS and value is not None}
    return {name: float(value) for name, value in numbers.items() if value == value}


def _tags(one: Experiment) -> dict[str, str]:
    told = {f"melstack.{name}": str(one.measured[name]) for name in TEXTS}
    files = sorted(path for path in one.folder.iterdir() if path.is_file())
    return told | {f"artefact.{path.name}": str(path.resolve()) for path in files}


def _parts(values: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield ``values`` in parts that one call takes, keys and values as MLflow allows them."""
    allowed = [(KEY_ALLOWS.sub("_", key), value[:LONGEST_VALUE]) for key, value in values.items()]
    for start in range(0, len(allowed), BATCH):
        yield dict(allowed[start : start + BATCH])
