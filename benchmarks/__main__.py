"""Benchmark commands: speed, planted copies of pictures, the page under load, other cameras, the page of results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmarks import network_commands
from level1_cnn.hardware.import_tensorflow import import_tensorflow
from melstack.command_line import new_app, run_app
from melstack.option_groups import expand_groups
from melstack.options import BundleOptions
from runtime.errors import InputFault
from runtime.progress import say
from runtime.run_folder import Run

if TYPE_CHECKING:
    from benchmarks.planting.source import Source

app = new_app(__doc__ or "")
app.add_typer(network_commands.app)


@app.command("plant-duplicates")
def plant_duplicates(
    folder: Path,
    copies: int = 200,
    seed: int = 0,
    kinds: str = "light",
    sample: Annotated[int | None, typer.Option(min=1, help="only so many pictures, drawn at random")] = None,
    shortest: Annotated[int | None, typer.Option(min=1, help="shrink every picture to this shorter side, px")] = None,
) -> None:
    """Plant altered copies of pictures of a folder (in memory) and print how many of each kind the audit finds.

    KINDS are names separated by commas, or `all`.
    """
    import numpy as np

    from benchmarks.alterations import KINDS
    from benchmarks.leak_audit import plant, shrunken

    names = list(KINDS) if kinds == "all" else kinds.split(",")
    if wrong := [name for name in names if name not in KINDS]:
        raise InputFault(f"--kinds {', '.join(wrong)}: no such kind; the kinds are {', '.join(KINDS)}")
    paths = {path.stem: path for path in sorted(folder.rglob("*.jpg"))}
    order = np.random.default_rng(seed).permutation(len(paths))[:sample]
    paths = {name: paths[name] for name in np.array(list(paths), dtype=object)[np.sort(order)]}
    with shrunken(paths, shortest) as small:
        result = plant(small, copies, seed, kinds=names)
    say(result.table().round(3).to_string())
    count = len(result.copies)
    say(f"{count} copies among {len(paths)} pictures: recall {result.recall:.3f}, precision {result.precision:.3f}")
    for first, second, similarity in result.other_pairs.head(20).itertuples(index=False):
        say(f"  not planted: {first} {second} {similarity:.3f}")


@app.command("plant-leaks")
def plant_leaks(
    data: Annotated[Path | None, typer.Option(help="folder of a case table; without it, a clinic is drawn")] = None,
    foreign: Annotated[Path | None, typer.Option(help="folder of honest networks' predictions for --data")] = None,
    networks: Annotated[str, typer.Option(help="the honest networks of --foreign")] = "cnn_a cnn_b cnn_c",
    kinds: Annotated[str, typer.Option(help="only kinds of leaks whose name has one of these words")] = "",
    seeds: Annotated[int, typer.Option(min=0, help="untouched samples of the tables")] = 20,
    processes: Annotated[int, typer.Option(min=1, help="runs at the same time")] = 2,
    out: Annotated[Path | None, typer.Option(help="the JSON file to write the verdicts to")] = None,
) -> None:
    """Plant leaks of every kind in case tables and predictions, and print which of them a run names."""
    from benchmarks.planting.source import draw_source, read_source
    from benchmarks.planting.study import KINDS, planting_study
    from benchmarks.stacking.study import check_out, report

    if (data is None) != (foreign is None):
        raise InputFault("--data and --foreign: give both, or none")
    check_out(out)

    def draw(seed: int) -> Source:
        if data is None or foreign is None:
            return draw_source(seed)
        return read_source(data, foreign, networks.split(), seed)

    selection = [name for name in KINDS if not kinds or any(word in name for word in kinds.split())]
    report(planting_study(draw, selection, range(seeds), processes), out)


@app.command("try-server")
@expand_groups
def try_server(
    options: BundleOptions,
    minutes: Annotated[float, typer.Option(min=0, help="how long the clients send requests without a pause")] = 10,
    clients: Annotated[int, typer.Option(min=1, help="the number of clients")] = 2,
    attacks: Annotated[float, typer.Option(min=0, max=1, help="share of pictures that attack the decoder")] = 0,
) -> None:
    """Test the page under load in a separate process: latency, memory; wrong answers end with exit code 1."""
    from benchmarks.server.page_under_load import run_trial

    raise typer.Exit(1 if run_trial(options.bundle_folder, options.data_folder, minutes, clients, attacks) else 0)


@app.command("batch-speed")
@expand_groups
def batch_speed(
    options: BundleOptions,
    patients: Annotated[int, typer.Option(min=2, help="patients with one picture each")] = 1000,
) -> None:
    """Time a batch through the server, and `predict` on the same pictures; other probabilities: exit code 1."""
    from benchmarks.server.batch_speed import run_batch_trial

    raise typer.Exit(0 if run_batch_trial(options.bundle_folder, options.data_folder, patients) else 1)


@app.command()
def bench() -> None:
    """Measure the speed of this machine as ratios in one run: picture preparation, inference, training feed."""
    from benchmarks.picture_preparation import run_preparation_benchmark

    run_preparation_benchmark()
    import_tensorflow()
    from benchmarks.inference import run_benchmark
    from benchmarks.training_feed import run_pipeline_benchmark

    run_benchmark()
    run_pipeline_benchmark()


@app.command("bench-bundle")
@expand_groups
def bench_bundle(
    options: BundleOptions,
    pictures: Annotated[int, typer.Option(min=1, help="test pictures that pass through every network")] = 32,
) -> None:
    """Compare ONNX Runtime and TensorFlow on a bundle's networks and the run's test pictures."""
    networks = options.bundle_folder / "networks"
    if not networks.is_dir():
        raise InputFault(
            f"{networks}: this folder does not exist; give the bundle of a run whose networks were trained here"
        )
    import_tensorflow()
    from benchmarks.bundle_networks import run_portable_benchmark

    run_portable_benchmark(Run(options.folder), networks, pictures)


@app.command("count-processes", context_settings={"ignore_unknown_options": True})
def count_processes_of(
    words: list[str],
    pretended_cores: Annotated[int | None, typer.Option(min=1, help="the command finds so many cores")] = None,
) -> None:
    """Run `melstack WORDS` and print the most processes and threads that it had at one time, and its seconds."""
    from benchmarks.processes import count_processes

    usage = count_processes(words, pretended_cores)
    say(
        f"processes: at most {usage.processes} at one time, {usage.workers} of them workers of a pool; "
        f"at most {usage.threads} threads; {usage.seconds:.1f} s; exit code {usage.exit_code}"
    )
    raise typer.Exit(usage.exit_code)


@app.command()
def requeue(
    folder: Annotated[Path, typer.Option(help="a new folder for the two runs")] = Path("runs/requeue"),
    rounds: Annotated[int, typer.Option(min=0, help="signals at random moments")] = 20,
    seed: Annotated[int, typer.Option(help="seed of the moments")] = 0,
    slurm: Annotated[bool, typer.Option("--slurm", help="the parts are jobs of the SLURM of this machine")] = False,
) -> None:
    """Stop the parts of a tiny run by SIGTERM, let them continue; exit code 1 if a file is not as undisturbed."""
    from benchmarks.requeue import run_requeue

    raise typer.Exit(0 if run_requeue(folder, rounds, seed, slurm=slurm) else 1)


@app.command("fuzz-bundles")
def fuzz_bundles(
    files: Annotated[int, typer.Option(min=1, help="altered bundles of each kind")] = 500,
    seed: Annotated[int, typer.Option(help="seed of the alterations")] = 0,
    seconds: Annotated[float, typer.Option(min=1, help="a process that takes longer counts as one that hangs")] = 30,
    only: Annotated[list[str] | None, typer.Option(help="kinds of bundles: learners, or onnx")] = None,
    failures: Annotated[Path | None, typer.Option(help="folder for bundles that end the process, or never end")] = None,
) -> None:
    """Alter files of bundles, make their digests again, load them; exit code 1 if one ends or blocks its process."""
    from benchmarks.fuzzing.bundles import kinds
    from benchmarks.fuzzing.trial import count_outcomes, outcome_table

    outcomes = {kind: count_outcomes(kind, files, seed, seconds, failures) for kind in only or kinds()}
    say((table := outcome_table(outcomes)).to_string())
    raise typer.Exit(1 if table[["error", "crash", "hang"]].to_numpy().any() else 0)


@app.command("results")
def results(only: Annotated[str | None, typer.Option(help="measure these ('a b') again, or all")] = None) -> None:
    """Write docs/results.md from docs/results.toml; with ONLY, run a result's command and compare old and new."""
    from benchmarks.results_file import PAGE, read_results
    from benchmarks.results_page import results_page
    from benchmarks.results_run import measurable, measure_again

    content = read_results()
    if only is None:
        PAGE.write_text(results_page(content), encoding="utf-8")
        say(f"results: {len(content.all())} entries, {PAGE}")
    else:
        selection = content.select(only.split())
        raise typer.Exit(0 if measure_again(measurable(selection) if only == "all" else selection) else 1)


if __name__ == "__main__":
    run_app(app, "python -m benchmarks")
