"""Commands that measure: speed, planted copies, the served page under load."""

from pathlib import Path
from typing import Annotated

import typer

from level1_cnn.hardware.import_tensorflow import import_tensorflow
from melstack.command_line import new_app, run_app
from melstack.options import RunFolder
from runtime.errors import InputFault
from runtime.progress import say
from runtime.run_folder import Run

app = new_app(__doc__ or "")


@app.command("plant-duplicates")
def plant_duplicates(folder: Path, copies: int = 200, seed: int = 0) -> None:
    """Plant altered copies among the pictures below a folder (in memory) and say how many the audit finds."""
    from benchmarks.leak_audit import plant

    paths = {path.stem: path for path in sorted(folder.rglob("*.jpg"))}
    found = plant(paths, copies, seed)
    say(f"{copies} copies among {len(paths)} pictures: recall {found.recall:.3f}, precision {found.precision:.3f}")
    for first, second, alike in found.strangers.head(20).itertuples(index=False):
        say(f"  not planted: {first} {second} {alike:.3f}")


@app.command("try-server")
def try_server(
    bundle: Annotated[Path, typer.Option(help="the bundle's folder")],
    data: Annotated[Path, typer.Option(help="the data folder whose test pictures are sent")],
    minutes: Annotated[float, typer.Option(min=0, help="how long clients ask without a pause")] = 10,
    clients: Annotated[int, typer.Option(min=1, help="how many of them")] = 2,
) -> None:
    """Serve the page in a process of its own and put it under load: latency, memory, wrong answers (exit code 1)."""
    try:
        from benchmarks.page_under_load import run_trial
    except ModuleNotFoundError as error:
        raise InputFault(f"a trial needs the extra `dev` ({error.name} is not installed)") from error

    raise typer.Exit(1 if run_trial(bundle, data, minutes, clients) else 0)


@app.command()
def bench() -> None:
    """Measure this machine, as ratios in one run: preparation, input pipeline, inference, training steps."""
    from benchmarks.picture_preparation import run_preparation_benchmark

    run_preparation_benchmark()
    import_tensorflow()
    from benchmarks.inference import run_benchmark
    from benchmarks.training_feed import run_pipeline_benchmark

    run_benchmark()
    run_pipeline_benchmark()


@app.command("bench-bundle")
def bench_bundle(
    run: RunFolder,
    bundle: Annotated[Path, typer.Option(help="its bundle's folder")],
    pictures: Annotated[int, typer.Option(min=1, help="test pictures that pass through every network")] = 32,
) -> None:
    """Measure a bundle's networks on the run's test pictures: ONNX Runtime against TensorFlow, in turns."""
    if not (bundle / "networks").is_dir():
        raise InputFault(f"{bundle}: a bundle without networks of its own")
    import_tensorflow()
    from benchmarks.bundle_networks import run_portable_benchmark

    run_portable_benchmark(Run(run), bundle / "networks", pictures)


if __name__ == "__main__":
    run_app(app, "python -m benchmarks")
