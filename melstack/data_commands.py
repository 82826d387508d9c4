"""Commands of the ground: draw the clinic, freeze the cases, compute the feature blocks."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from melstack.options import NewRunFolder, RunFolder
from runtime.errors import InputFault
from runtime.progress import say

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def clinic(
    folder: Path,
    train: int = 1000,
    test: int = 400,
    seed: int = 0,
    layout: Annotated[
        Literal["siim2020", "isic2024"], typer.Option(help="the contest whose layout it has")
    ] = "siim2020",
    crops: Annotated[int, typer.Option(min=0, help="isic2024: different crops drawn into its HDF5 files")] = 0,
) -> None:
    """Draw the synthetic clinic: a data folder in a contest's layout, with a known melanoma risk."""
    if layout == "isic2024":
        from features.clinic.isic2024_folder import Wanted, draw_total_body_clinic

        draw_total_body_clinic(folder, Wanted(train, test, seed, crops))
        return
    if crops:
        raise InputFault(f"crops = {crops} has no effect without --layout isic2024: this clinic draws every picture")
    from features.clinic.folder import draw_clinic

    draw_clinic(folder, train=train, test=test, seed=seed)


@app.command()
def cases(
    run: NewRunFolder,
    data: Annotated[Path, typer.Option(help="the data folder")],
    mapping: Annotated[Path | None, typer.Option(help="a TOML that says where things are in it")] = None,
    extra: Annotated[
        list[Path] | None, typer.Option(help="external cases: trained on, never validated; may be given several times")
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="number of folds")] = 5,
    official_folds: Annotated[bool, typer.Option(help="fold by the official patient groups (column tfrecord)")] = False,
    fold_seed: Annotated[int, typer.Option(help="breaks ties between patients")] = 0,
    draw: Annotated[
        tuple[int, int, int] | None, typer.Option(help="draw the clinic into data: train, test, seed")
    ] = None,
) -> None:
    """Check the user's CSVs and pictures, and freeze the case table with its folds."""
    if draw is not None:
        clinic(data, *draw)
    from features.folder.layout import Request
    from features.freeze_cases import freeze_cases
    from runtime.run_folder import Run

    place = Run(run)
    made = freeze_cases(place, Request(data, mapping, tuple(extra or ()), folds, official_folds, fold_seed))
    say(f"cases: {'frozen now' if made else 'fresh'}, {place.cases}")
    for line in place.facts()["summary"]:
        say(f"  {line}")


@app.command()
def blocks(run: RunFolder) -> None:
    """Compute the feature blocks of a run, each from the cases without their target and fold."""
    from features.compute_blocks import compute_blocks
    from runtime.run_folder import Run

    compute_blocks(Run(run))


@app.command()
def audit(run: RunFolder) -> None:
    """Look for leaks; write leaks.json and a sheet of the pictures that show the same; stop where nothing mends it."""
    from features.leaks.audit import audit as look
    from features.leaks.audit import refuse_leaks
    from runtime.run_folder import Run

    done = look(Run(run))
    for line in done.sentences():
        say(f"audit: {line}")
    refuse_leaks(done, str(run))


@app.command("contact-sheet")
def contact_sheet_command(data: Path, out: Path) -> None:
    """Compose pictures of a data folder into one PNG, malignant ones framed in red."""
    from features.folder.data_folder import DataFolder
    from melstack.report.data_page.contact_sheet import contact_sheet

    say(str(contact_sheet(DataFolder.open(data), out)))


@app.command()
def eda(run: RunFolder) -> None:
    """Write eda.html, the data's own page: counts, sizes, missing values, train against test, a contact sheet."""
    from melstack.report.data_page.page import explore
    from runtime.run_folder import Run

    explore(Run(run))
