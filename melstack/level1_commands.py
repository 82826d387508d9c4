"""Commands of level one: out-of-fold predictions of every model of a profile, and looks at how they are made."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from level1_cnn.experiment import Experiment, find_experiments, own_file, waves
from level1_cnn.finished import job_of, planned_job, unfinished
from level1_cnn.hardware.import_tensorflow import import_tensorflow
from level1_cnn.training.tasks import run_tasks
from level1_cnn.training.trainers import Trainers
from melstack.options import LookedAtRun, RunFolder
from runtime.errors import InputFault
from runtime.machine import FreeBytes, this_machine
from runtime.progress import say
from runtime.provenance import write_mark
from runtime.run_folder import Run

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)

Profile = Annotated[str, typer.Option(help="the folder of configs/ whose models are meant")]
Models = Annotated[str | None, typer.Option(help="only these of its models, or TOML paths, by spaces")]
Model = Annotated[str, typer.Option(help="one model of the profile, or the path of a TOML file")]
Devices = Annotated[str, typer.Option(help="auto, cpu, gpu:0, gpu:0,1, mirrored, workers, tpu, cpu:2")]
Deterministic = Annotated[bool, typer.Option(help="the same bytes in every run on one machine; slower")]


@app.command()
def oof(
    run: RunFolder,
    profile: Profile = "laptop",
    models: Models = None,
    devices: Devices = "auto",
    deterministic: Deterministic = False,
    cluster: Annotated[str | None, typer.Option(help="address of a Dask scheduler, tcp://host:8786")] = None,
) -> None:
    """Train every model of the profile fold by fold; models and folds that are fresh are left alone."""
    place = Run(run)
    if not _has_pictures(place):
        return
    experiments = find_experiments(profile, (models or "").split())
    pending = unfinished(place, experiments)
    for name in experiments:
        say(f"level one: {name}: {'to be trained' if name in pending else 'fresh'}")
    if not pending:
        if place.statistics.is_file() and not place.has_statistics():
            _prepare(place, {})
        return
    _check_external(place, pending)
    _prepare(place, pending)
    from level1_cnn.training.crossval import merge_model

    folds, trainers = int(place.read_cases()["fold"].max()) + 1, Trainers()
    # A model waits for those that it builds on: its ingredients are known only then.
    for wave in waves(pending):
        jobs = [job_of(place, name, pending[name], devices, deterministic) for name in wave]
        for job in jobs:
            write_mark(job.folder / "begun.json", job.made_from, toml=own_file(job.name, (models or "").split()))
        run_tasks(jobs, folds, trainers, cluster)
        for job in jobs:
            merge_model(job)


@app.command()
def plan(
    run: RunFolder,
    profile: Profile = "laptop",
    models: Models = None,
    devices: Devices = "auto",
    deterministic: Deterministic = False,
    disk: FreeBytes = None,
    memory: FreeBytes = None,
    gpu: FreeBytes = None,
) -> None:
    """Forecast time, disk and memory of every model from a few measured steps; refuse what cannot fit, with exit 2."""
    place = Run(run)
    experiments = find_experiments(profile, (models or "").split()) if _has_pictures(place) else {}
    pending = unfinished(place, experiments)
    _check_external(place, pending)
    jobs = [planned_job(place, name, one, experiments, devices, deterministic) for name, one in pending.items()]
    import_tensorflow()
    from level1_cnn.forecast.models import plan_models

    plan_models(place, experiments, jobs, this_machine(run, disk=disk, memory=memory, gpu=gpu))


@app.command("augment-sheet")
def augment_sheet(run: RunFolder, model: Model, profile: Profile = "laptop") -> None:
    """Draw a contact sheet of a model's augmentations on pictures of the run."""
    place, _, experiment = _one_model(run, profile, model)
    _prepare(place, {model: experiment})
    from level1_cnn.inspect.augmentation_sheet import draw_sheet

    say(str(draw_sheet(place, experiment)))


@app.command("lr-find")
def lr_find(
    run: RunFolder,
    model: Model,
    profile: Profile = "laptop",
    devices: Devices = "auto",
    fold: Annotated[int, typer.Option(help="the fold that stays out")] = 0,
) -> None:
    """Test a range of learning rates on the training rows of one fold, and draw the loss over the rate."""
    place, name, experiment = _one_model(run, profile, model)
    _prepare(place, {name: experiment})
    from level1_cnn.inspect.learning_rate import find_rate

    find_rate(job_of(place, name, experiment, devices, False), fold=fold)


@app.command()
def tune(
    run: RunFolder,
    model: Model,
    search: Annotated[str, typer.Option(help="a name in configs/search, or a TOML file of ranges")] = "finetune",
    profile: Profile = "laptop",
    devices: Devices = "auto",
) -> None:
    """Search a model's settings within ranges, on training folds alone; write the best as a TOML of its own."""
    place, name, experiment = _one_model(run, profile, model)
    _prepare(place, {name: experiment})
    from level1_cnn.tuning.search import tune_model

    tune_model(job_of(place, name, experiment, devices, False), search)


@app.command()
def views(run: LookedAtRun, models: Models = None) -> None:
    """Print what every test-time view of the finished models is worth."""
    from level1_cnn.inspect.view_worth import print_view_worth

    place = Run(run)
    named = [Path(name).name.removesuffix(".toml") for name in (models or "").split()]
    for name in named or place.networks():
        print_view_worth(place, name)


@app.command()
def galleries(
    run: RunFolder,
    recipe: Annotated[str, typer.Option(help="the recipe whose stack is shown")] = "default",
    patients: Annotated[str | None, typer.Option(help="whose boards, by spaces; else chosen ones")] = None,
) -> None:
    """Write the hardest cases under heat maps, and boards of patients, as small pictures for the report."""
    place = Run(run)
    if not place.facts()["pictures"]:
        say("galleries: the cases have no pictures, so there are none")
        return
    import_tensorflow()
    from melstack.report.galleries.make import make_galleries

    make_galleries(place, recipe, patients=patients.split() if patients else None)


def _check_external(place: Run, pending: Mapping[str, Experiment]) -> None:
    """Refuse models that need external pictures where there are none; else say which do not look at them."""
    has_external = bool((place.read_cases()["role"] == "extra").any())
    hungry = [name for name, one in pending.items() if one.needs_external]
    if hungry and not has_external:
        raise InputFault(f"{', '.join(hungry)}: trained on external pictures too; EXTRA='folder ...' brings them in")
    blind = [name for name, one in pending.items() if not one.uses_external]
    if blind and has_external:
        say(f"level one: {', '.join(blind)}: external pictures are not shown (external = 'apart')")


def _has_pictures(place: Run) -> bool:
    facts = place.facts()
    if not facts["pictures"]:
        say("level one: the cases have no pictures, so no network is trained; level two uses foreign predictions")
        return False
    if facts["pictures"] < facts["cases"]:
        raise InputFault(f"{place.folder}: some cases have no picture")
    return True


def _one_model(run: Path, profile: str, model: str) -> tuple[Run, str, Experiment]:
    place = Run(run)
    if not _has_pictures(place):
        raise InputFault(f"{place.folder}: without pictures there is nothing to train on")
    ((name, experiment),) = find_experiments(profile, [model]).items()
    return place, name, experiment


def _prepare(run: Run, pending: Mapping[str, Experiment]) -> None:
    """Import TensorFlow, now that there is something to do, check the models, and decode what they need."""
    import_tensorflow()
    from level1_cnn.data.shards import prepare
    from level1_cnn.networks.network import check_experiment

    for name, experiment in pending.items():
        check_experiment(name, experiment)
    prepare(run, run.read_cases(), _sizes(pending.values()))


def _sizes(experiments: Iterable[Experiment]) -> list[int]:
    return sorted({experiment.image_size for experiment in experiments})
