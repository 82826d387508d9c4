"""Train the networks of a run that are not finished, after every check that needs no training."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from level1_cnn.hardware.gpu_nodes import check_gpus
from melstack.options import (
    CasesOptions,
    NetworkOptions,
    StackOptions,
    model_name,
    split_names,
)
from melstack.steps.cases import audit_cases, freeze
from runtime.errors import InputFault, list_names
from runtime.invocation import option
from runtime.progress import say

MANY_COLUMNS = 500

if TYPE_CHECKING:
    from pathlib import Path

    from level1_cnn.experiment import Experiment
    from level1_cnn.job import Job
    from runtime.run_folder import Run


def train_run(
    source: CasesOptions,
    networks: NetworkOptions,
    cluster: str | None,
    stack: StackOptions | None = None,
    work: Callable[[Run, NetworkOptions, str | None, Collection[str]], object] | None = None,
) -> Run:
    """Return the run of ``source`` after freezing, auditing and level one; unknown networks are refused first.

    Predictions of other networks, which ``stack`` may name, are imported before anything is trained; models that are
    among them are not trained. ``work`` replaces the training, for instance by its preparation alone.
    """
    work = work or train
    from level2_stack.foreign.bring import import_after_training, import_into_run
    from melstack.exchange.exports import export_predictions
    from runtime.run_folder import Run

    others = check_networks(source, networks, None if stack is None else stack.foreign)
    if cluster is None and not Run(source.folder).cases_mark.is_file():
        check_gpus(networks.devices)  # a finished run may be stacked on a machine without its GPU

    def bring_networks(run: Run) -> None:
        """Import the predictions of other networks, and check that the folds are enough for the stack."""
        announce_columns(run)
        if stack is not None and stack.foreign is not None:
            import_into_run(run, stack.foreign, split_names(stack.trust))
        if stack is not None:
            from level2_stack.design.fold_checks import check_fold_count

            cases = run.read_cases()
            check_fold_count(cases.loc[cases["role"] == "train", "fold"].nunique())

    run = freeze(source, then=bring_networks)
    audit_cases(run)
    work(run, networks, cluster, others)
    if stack is not None and stack.foreign is not None:
        import_after_training(run, stack.foreign, split_names(stack.trust))
    export_predictions(run)
    return run


def announce_columns(run: Run) -> None:
    """Print, before anything that takes long, that a run has many columns of metadata and how to use fewer."""
    count = run.read_cases().shape[1]
    if count >= MANY_COLUMNS:
        say(
            f"cases: {count:,} columns: the checks of networks and columns come first; then level two says how long it "
            "takes; fewer columns: metadata = [...] under [columns] in cases.toml of a new run"
        )


def check_networks(source: CasesOptions, networks: NetworkOptions, foreign: Path | None = None) -> list[str]:
    """Return the networks in ``foreign`` and those that the run imported before: they are not to be trained.

    Raises InputFault for an unknown profile or model, for an invalid TOML file, for a model that is also a network
    in ``foreign``, and for models of a new run that need external pictures, before anything is computed.
    """
    from level2_stack.foreign.bring import networks_in, rename_remedy
    from level2_stack.networks_to_stack import imported_networks
    from runtime.run_folder import Run

    run = Run(source.folder)
    inside = [] if foreign is None else networks_in(foreign, run)
    others = [*inside, *imported_networks(run)]
    clashes = [] if networks.models else [name for name in experiments_of(run, networks, []) if name in inside]
    if foreign is not None and clashes:
        raise InputFault(
            f"{foreign}: has networks with the names of models of profile {networks.profile!r}: {list_names(clashes)}; "
            f"{rename_remedy(foreign)}, or name the models to use with {option('models')}"
        )
    trained = set(run.networks()) - set(imported_networks(run))
    files = [name for model in split_names(networks.models) if (name := model_name(model)) != model]
    if foreign is not None and (clashes := [name for name in files if name in inside and name not in trained]):
        raise InputFault(
            f"{foreign}: has networks with the names of models to train: {list_names(clashes)}; "
            f"{rename_remedy(foreign)}, or give the TOML files other names"
        )
    experiments = experiments_of(run, networks, others)
    if not run.cases_mark.is_file():
        refuse_external(experiments, has_external=bool(source.extra))
    return others


def experiments_of(run: Run, networks: NetworkOptions, others: Collection[str]) -> dict[str, Experiment]:
    """Return model name -> experiment: all models of the profile, or only those that the option models names.

    Names in ``others`` are imported networks. A name that no profile has may be that of a network of the run, whose
    TOML file the run records. Raises InputFault as `find_experiments` does.
    """
    from level1_cnn.experiment import find_experiments
    from level1_cnn.finished import own_file

    names = split_names(networks.models)
    models = [own_file(run, name) or name for name in names if name not in others]
    return {} if names and not models else find_experiments(networks.profile, models)


def train(run: Run, networks: NetworkOptions, cluster: str | None = None, others: Collection[str] = ()) -> None:
    """Train the networks that are not finished, fold by fold; without pictures there is nothing to train."""
    pending = prepare_networks(run, networks, cluster, others)
    if pending:
        _train_pending(run, pending, networks, cluster)


def prepare_networks(
    run: Run, networks: NetworkOptions, cluster: str | None = None, others: Collection[str] = ()
) -> dict[str, Experiment]:
    """Check the networks, decode the pictures that they need, and return those that are not finished."""
    if not has_pictures(run):
        return {}
    from level1_cnn.finished import unfinished_models

    experiments = experiments_of(run, networks, others)
    pending = unfinished_models(run, experiments)
    states = {"to be trained": list(pending), "fresh": [name for name in experiments if name not in pending]}
    texts = [f"{state}: {', '.join(names)}" for state, names in states.items() if names]
    say(f"level one: {'; '.join(texts) or 'no network to train'}")
    if pending:
        check_external(run, pending)
        if cluster is None:
            check_gpus(networks.devices)
        prepare(run, pending)
    elif run.statistics.is_file() and not run.has_statistics():
        prepare(run, {})
    return pending


def _train_pending(run: Run, pending: Mapping[str, Experiment], networks: NetworkOptions, cluster: str | None) -> None:
    from level1_cnn.experiment import training_groups
    from level1_cnn.training.crossval import merge_model
    from level1_cnn.training.tasks import run_tasks
    from level1_cnn.training.trainers import Trainers

    folds, trainers = int(run.read_cases()["fold"].max()) + 1, Trainers()
    # A model waits for those that it builds on: only then is known what it is made from.
    for group in training_groups(pending):
        jobs = [begin_job(run, name, pending[name], networks) for name in group]
        run_tasks(jobs, folds, trainers, cluster)
        for job in jobs:
            merge_model(job)


def begin_job(run: Run, name: str, experiment: Experiment, networks: NetworkOptions) -> Job:
    """Return a model as a job, and record what it is made from in begun.json of its folder."""
    from level1_cnn.experiment import user_file
    from level1_cnn.finished import make_job, own_file
    from runtime.provenance import write_mark

    job = make_job(run, name, experiment, networks.devices, networks.deterministic)
    toml = user_file(job.name, split_names(networks.models)) or own_file(run, job.name)
    write_mark(job.folder / "begun.json", job.made_from, toml=toml)
    return job


def check_external(run: Run, pending: Mapping[str, Experiment]) -> None:
    """Raise InputFault for models that need external pictures, if there are none; else print which do not use them."""
    has_external = bool((run.read_cases()["role"] == "extra").any())
    refuse_external(pending, has_external=has_external)
    without = [name for name, experiment in pending.items() if not experiment.uses_external]
    if without and has_external:
        say(f"level one: {', '.join(without)}: does not use the external pictures (external = 'apart')")


def refuse_external(experiments: Mapping[str, Experiment], *, has_external: bool) -> None:
    """Raise InputFault for models that need external pictures, if there are none."""
    need_external = [name for name, experiment in experiments.items() if experiment.needs_external]
    if need_external and not has_external:
        remedy = f"{option('extra', 'folder')} adds a folder of them"
        raise InputFault(f"{', '.join(need_external)}: needs external pictures for training; {remedy}")


def has_pictures(run: Run) -> bool:
    """Return whether the cases have pictures; print a line if not; raise InputFault if only some cases have one."""
    facts = run.facts()
    if not facts["pictures"]:
        say("level one: the cases have no pictures, so no network is trained; level two uses foreign predictions")
        return False
    if facts["pictures"] < facts["cases"]:
        raise InputFault(
            f"{run.folder}: {facts['cases'] - facts['pictures']} of {facts['cases']} cases have no picture"
        )
    return True


def prepare(run: Run, pending: Mapping[str, Experiment]) -> None:
    """Import TensorFlow, check the models, and decode the pictures that they need."""
    from level1_cnn.hardware.import_tensorflow import import_tensorflow

    import_tensorflow()
    from level1_cnn.data.shards import decode_pictures
    from level1_cnn.networks.network import check_experiment

    for name, experiment in pending.items():
        check_experiment(name, experiment)
    decode_pictures(run, run.read_cases(), _sizes(pending.values()))


def _sizes(experiments: Iterable[Experiment]) -> list[int]:
    return sorted({experiment.image_size for experiment in experiments})
