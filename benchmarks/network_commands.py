"""Benchmark commands about networks: other cameras, views, students, seeds."""

from pathlib import Path
from typing import Annotated

import typer

from level1_cnn.hardware.import_tensorflow import import_tensorflow
from melstack.command_line import new_app
from runtime.errors import InputFault
from runtime.run_folder import Run

app = new_app(__doc__ or "")


@app.command("other-cameras")
def other_cameras(
    home: Path,
    elsewhere: Path,
    malignant: Annotated[int, typer.Option(min=50, help="at most so many malignant pictures of each folder")] = 450,
    benign: Annotated[int, typer.Option(min=50, help="at most so many benign pictures of each folder")] = 450,
    side: Annotated[int, typer.Option(min=32, help="px of the network's input")] = 96,
    cache: Annotated[Path, typer.Option(help="folder that keeps the features")] = Path("runs/other-cameras"),
    out: Annotated[Path | None, typer.Option(help="the JSON file to write the tables to")] = None,
) -> None:
    """Fit heads of frozen networks to one folder of labelled pictures, apply them to another, and compare remedies."""
    from benchmarks.stacking.study import check_out, report

    check_out(out)
    import_tensorflow()
    from benchmarks.elsewhere.sets import read_sets
    from benchmarks.elsewhere.sights import Embeddings
    from benchmarks.elsewhere.study import cameras_study

    first, second = read_sets([home, elsewhere], malignant, benign, cache / "traces")
    report(cameras_study(first, second, Embeddings(cache / f"lite0_{side}", side)), out)


@app.command("early-exit")
def early_exit(run: Path, networks: list[str]) -> None:
    """Measure, on the out-of-fold views of NETWORKS of RUN, what stopping at a clear decision saves and costs."""
    from benchmarks.early_exit import run_early_exit

    run_early_exit(Run(run), networks)


@app.command("student")
def student(
    run: Path, networks: list[str], draws: Annotated[int, typer.Option(min=1, help="permutations of the labels")] = 3
) -> None:
    """Measure what a head seems to reach that learns from the frozen NETWORKS of RUN, also on permuted labels."""
    from benchmarks.student import run_students

    run_students(Run(run), networks, draws)


@app.command("seeds", context_settings={"ignore_unknown_options": True})
def seeds_of(
    run: Path,
    models: str,
    words: list[str],
    seeds: Annotated[str, typer.Option(help="two or more")] = "0 1 2",
    out: Annotated[Path | None, typer.Option(help="the JSON file to write the table to")] = None,
) -> None:
    """Train MODELS ('a b') with several seeds by `melstack oof WORDS`, and compare the means of their AUCs."""
    from benchmarks.seeds import run_seeds
    from benchmarks.stacking.study import check_out, report

    check_out(out)
    numbers = seeds.split()
    if not 1 < len(set(numbers)) == len(numbers) or not all(number.isdecimal() for number in numbers):
        raise InputFault(f"--seeds {seeds!r}: two or more different whole numbers, as in '0 1 2'")
    report(run_seeds(Run(run), models.split(), list(map(int, numbers)), words), out)
