"""Commands of a bundle: write it from a run, predict with it, and show its page."""

from pathlib import Path
from typing import Annotated

import typer

from melstack.options import LookedAtRun, RunFolder
from runtime.errors import InputFault
from runtime.progress import say

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
BundleFolder = Annotated[Path, typer.Option("--bundle", help="the bundle's folder")]
Threads = Annotated[int | None, typer.Option(min=1, help="threads of every network; as many as there are cores")]


@app.command("bundle")
def write(
    run: RunFolder,
    recipe: Annotated[str, typer.Option(help="whose stack it holds")] = "default",
    out: Annotated[Path | None, typer.Option(help="where to, instead of <run>/bundle")] = None,
    cluster: Annotated[str | None, typer.Option(help="Dask scheduler whose workers fit: tcp://host:8786")] = None,
) -> None:
    """Write the bundle of a finished stack, unless the one that is there was made from it."""
    from melstack.bundle.writing import make_bundle

    make_bundle(run, recipe, out or run / "bundle", cluster)


@app.command()
def predict(
    bundle: BundleFolder,
    data: Annotated[Path, typer.Option(help="the data folder: test.csv and pictures, or pictures alone")],
    out: Annotated[Path, typer.Option(help="the folder that gets the tables")],
    mapping: Annotated[Path | None, typer.Option(help="a TOML that says where things are in it")] = None,
    foreign: Annotated[Path | None, typer.Option(help="<network>/test.csv of networks that the bundle lacks")] = None,
    threads: Threads = None,
) -> None:
    """Predict the cases of a data folder: submission.csv, predictions.csv, contributions and notices."""
    from melstack.bundle.predicting import predict_folder

    predict_folder(bundle, data, out, mapping, foreign, threads=threads)


@app.command()
def serve(
    bundle: BundleFolder,
    host: Annotated[str, typer.Option(help="where the page is bound to")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: one that is free")] = 8000,
    open_to_others: Annotated[bool, typer.Option(help="let other machines reach it: it has no password")] = False,
    keep: Annotated[Path | None, typer.Option(help="a folder that gets every request's pictures and answer")] = None,
    limits: Annotated[Path | None, typer.Option(help="a TOML with other limits than the usual ones")] = None,
    threads: Threads = None,
) -> None:
    """Show a local page for one patient: pictures in, each lesion's probability and reasons out."""
    from melstack.bundle.loading import Bundle
    from melstack.bundle.serving.application import check_host, serve
    from melstack.bundle.serving.limits import read_limits

    check_host(host, open_to_others)
    loaded = Bundle.load(bundle, threads=threads)
    serve(loaded, read_limits(limits), host, port, open_to_others=open_to_others, keep=keep)


@app.command()
def verify(run: LookedAtRun) -> None:
    """Check every file of a run against its digest, and every artefact against what it is made from."""
    from melstack.verify import print_verdicts, verify_run
    from runtime.run_folder import Run

    if print_verdicts(Run(run), verify_run(Run(run))):
        raise InputFault("damaged files; the command that made them makes them again (`make submission` all of them)")


@app.command("check-bundle")
def check(bundle: BundleFolder) -> None:
    """Check the digest of every file of a bundle."""
    from melstack.bundle.manifest import bundle_digest, read_manifest

    manifest = read_manifest(bundle)
    say(f"bundle: {len(manifest.files)} files as they were written, {bundle_digest(bundle)}")
