"""Commands of level one: out-of-fold predictions of every model of a profile."""

from pathlib import Path
from typing import Annotated, Any

import typer

from features.__main__ import RunFolder, run_app
from features.faults import InputFault
from features.progress import say
from features.provenance import finish, is_fresh, refuse_if_changed
from features.runs import Run
from level1_cnn.experiment import Experiment, find_experiments
from level1_cnn.quiet import import_tensorflow

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
VERSION = 1  # raise it when a change of the code changes what a trained network predicts


@app.command()
def oof(
    run: RunFolder,
    profile: Annotated[str, typer.Option(help="the folder of configs/ whose models are trained")] = "laptop",
    models: Annotated[str | None, typer.Option(help="only these of its models, or TOML paths, by spaces")] = None,
) -> None:
    """Train every model of the profile fold by fold; models and folds that are fresh are left alone."""
    place = Run(run)
    facts = place.facts()
    if not facts["pictures"]:
        say("level one: the cases have no pictures, so no network is trained; level two uses foreign predictions")
        return
    if facts["pictures"] < facts["cases"]:
        raise InputFault(f"{place.folder}: some cases have no picture")
    experiments = find_experiments(profile, (models or "").split())
    pending = {name: one for name, one in experiments.items() if not _is_fresh(place, name, one)}
    for name in experiments:
        say(f"level one: {name}: {'to be trained' if name in pending else 'fresh'}")
    if pending:
        _train(place, pending)


@app.command()
def bench() -> None:
    """Measure this machine: inference by ONNX Runtime and TensorFlow, training steps, as ratios in one run."""
    import_tensorflow()
    from level1_cnn.benchmark import run_benchmark

    run_benchmark()


def _is_fresh(run: Run, name: str, experiment: Experiment) -> bool:
    """Tell whether the model is finished; raise InputFault when it was begun with other settings."""
    made_from = _ingredients(run, experiment)
    folder = run.level1 / name
    remedy = f"give the new settings a file name of their own, or delete {folder} to train {name} anew"
    for mark in (folder / "begun.json", folder / "run.json"):
        refuse_if_changed(mark, made_from, remedy)
    return is_fresh(folder / "run.json", made_from, [folder / "predictions.parquet", folder / "embeddings.parquet"])


def _ingredients(run: Run, experiment: Experiment) -> dict[str, Any]:
    return {"settings": experiment.model_dump(mode="json"), "cases": run.cases_digest(), "version": VERSION}


def _train(run: Run, pending: dict[str, Experiment]) -> None:
    """Import TensorFlow, now that there is something to do, and train what is pending."""
    import_tensorflow()
    from level1_cnn.crossval import train_model
    from level1_cnn.devices import plan_devices
    from level1_cnn.network import check_experiment
    from level1_cnn.shards import make_shards

    for name, experiment in pending.items():
        check_experiment(name, experiment)
    plan = plan_devices()
    say(f"level one: {plan.describe()}")
    sizes = sorted({experiment.image_size for experiment in pending.values()})
    make_shards(run, run.read_cases(), Path(run.facts()["data"]), sizes)
    for name, experiment in pending.items():
        made_from = _ingredients(run, experiment)
        finish(run.level1 / name / "begun.json", made_from)
        train_model(run, name, experiment, made_from, plan)


if __name__ == "__main__":
    run_app(app)
