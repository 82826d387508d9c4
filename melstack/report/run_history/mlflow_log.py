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

# SQLite is the default of MLflow since 3.7; stores made of files (`mlruns`) get no new features.
DATABASE = "mlflow.db"
IDENTITY = "melstack.identity"
FORBIDDEN_IN_KEYS = re.compile(r"[^\w\-. /]")  # MLflow refuses these characters in a key
MAX_VALUE_LENGTH = 500  # characters; older stores refuse longer values
BATCH = 90  # parameters or tags per call; the limit of MLflow is 100
TEXTS = ("headline", "submitted", "finished")  # results that are texts; all others are numbers


def log_history(experiments: Sequence[Experiment], store: Path) -> int:
    """Log the experiments that the MLflow store in folder ``store`` does not have yet; return their number.

    The folder is created if it does not exist; its database is ``mlflow.db``. Each stack is an MLflow run, each run
    folder an MLflow experiment: settings are parameters, results are metrics, the paths of the artefacts are tags
    (nothing is copied). A stack that was made again is another MLflow run. Raises InputFault if MLflow is not
    installed.
    """
    client = _client(store)
    new = sum(_log(client, store, experiment) for experiment in experiments)
    command = f"`mlflow ui --backend-store-uri {_address(store)}` shows them"
    say(f"MLflow: logged {new} new of {len(experiments)} experiments; {command}")
    return new


def _address(store: Path) -> str:
    return f"sqlite:///{(store / DATABASE).resolve().as_posix()}"


def _client(store: Path) -> Any:  # noqa: ANN401  MLflow need not be installed to check types
    if importlib.util.find_spec("mlflow") is None:
        raise InputFault("MLflow is not installed; install it with `pip install 'melstack[mlflow]'`")
    store.mkdir(parents=True, exist_ok=True)
    # MLflow reads this on import; experiments on patient data must not be reported to others.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    return importlib.import_module("mlflow").MlflowClient(tracking_uri=_address(store))


def _log(client: Any, store: Path, experiment: Experiment) -> bool:  # noqa: ANN401
    """Log an experiment; return False if the store already has it."""
    identity = digest([str(experiment.folder.resolve()), digest_of_file(experiment.folder / "run.json")])
    group = _group(client, store, experiment.name.rpartition("/")[0])
    if client.search_runs([group], f"tags.`{IDENTITY}` = '{identity}'"):
        return False
    end_time = int((experiment.folder / "run.json").stat().st_mtime * 1000)
    run_id = client.create_run(group, start_time=end_time, run_name=experiment.name).info.run_id
    for name, value in _metrics(experiment.results).items():
        client.log_metric(run_id, name, value, timestamp=end_time)
    entities = importlib.import_module("mlflow.entities")
    for part in _parts(experiment.settings):
        client.log_batch(run_id, params=[entities.Param(key, value) for key, value in part.items()])
    for part in _parts(_tags(experiment)):
        client.log_batch(run_id, tags=[entities.RunTag(key, value) for key, value in part.items()])
    client.set_terminated(run_id, "FINISHED", end_time)
    client.set_tag(run_id, IDENTITY, identity)  # last: an experiment whose logging was interrupted is logged again
    return True


def _group(client: Any, store: Path, name: str) -> str:  # noqa: ANN401
    group = client.get_experiment_by_name(name)
    if group is not None:
        return str(group.experiment_id)
    return str(client.create_experiment(name, artifact_location=(store / "artifacts" / name).resolve().as_uri()))


def _metrics(results: Mapping[str, Any]) -> dict[str, float]:
    numbers = {name: value for name, value in results.items() if name not in TEXTS and value is not None}
    return {name: float(value) for name, value in numbers.items() if value == value}


def _tags(experiment: Experiment) -> dict[str, str]:
    texts = {f"melstack.{name}": str(experiment.results[name]) for name in TEXTS}
    files = sorted(path for path in experiment.folder.iterdir() if path.is_file())
    return texts | {f"artefact.{path.name}": str(path.resolve()) for path in files}


def _parts(values: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield ``values`` in batches for one call each, with keys and values that MLflow accepts."""
    pairs = [(FORBIDDEN_IN_KEYS.sub("_", key), value[:MAX_VALUE_LENGTH]) for key, value in values.items()]
    for start in range(0, len(pairs), BATCH):
        yield dict(pairs[start : start + BATCH])
