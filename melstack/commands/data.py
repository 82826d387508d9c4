"""Commands on the cases: draw the demo, freeze the folds, look for leaks, look at the data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from melstack.option_groups import expand_groups
from melstack.option_types import setting
from melstack.options import CLOSER, DAILY, DEMO, MAINTAINING, CasesOptions, RunOptions
from melstack.steps.cases import audit_cases, freeze
from runtime.errors import InputFault, RunFault
from runtime.invocation import command, option
from runtime.progress import say

if TYPE_CHECKING:
    pass

app = typer.Typer()


@app.command(rich_help_panel=MAINTAINING, epilog="Example: melstack clinic --data data/clinic --train 300 --test 120")
def clinic(
    data: Annotated[Path, setting("the folder to draw into", "FOLDER")] = DEMO,
    train: Annotated[
        int, typer.Option("--train", "--clinic-train", min=1, metavar="N", help="training pictures")
    ] = 1000,
    test: Annotated[int, typer.Option("--test", "--clinic-test", min=1, metavar="N", help="test pictures")] = 400,
    seed: Annotated[int, typer.Option("--seed", "--clinic-seed", metavar="N", help="seed of the drawing")] = 0,
    layout: Annotated[Literal["siim2020", "isic2024"], setting("the contest's layout")] = "siim2020",
    crops: Annotated[int, setting("isic2024: different crops drawn into its HDF5 files", "N", min=0)] = 0,
) -> None:
    """Draw the synthetic clinic, the demo: a data folder whose melanoma risk is known."""
    if layout == "isic2024":
        from features.clinic.isic2024_folder import ClinicSize, draw_total_body_clinic

        draw_total_body_clinic(data, ClinicSize(train, test, seed, crops))
        return
    if crops:
        raise InputFault(f"crops = {crops} has no effect without layout = isic2024: this clinic draws every picture")
    from features.clinic.folder import draw_clinic

    draw_clinic(data, train=train, test=test, seed=seed)


@app.command(rich_help_panel=DAILY, epilog="Example: melstack cases --data mydata --folds 5")
@expand_groups
def cases(source: CasesOptions) -> None:
    """Check the CSVs and pictures of a data folder, and freeze the case table with its folds."""
    with source.lock(create=True):
        run = freeze(source)
        from melstack.closing.short_ends import print_short_end

        print_short_end(run, [], "submission")


@app.command(rich_help_panel=CLOSER, epilog="Example: melstack init mydata")
def init(
    folder: Annotated[Path | None, typer.Argument(help="the data folder, as with --data", show_default=False)] = None,
    data: Annotated[Path | None, setting("folder of pictures and CSVs", "FOLDER", f"the demo, {DEMO}")] = None,
    run: Annotated[Path | None, setting("folder that keeps everything", "FOLDER", "runs/<name of DATA>")] = None,
) -> None:
    """Write run.toml of a new run, every setting with a comment, to be edited before the first command."""
    if folder is not None and data is not None:
        raise InputFault(f"{folder} and --data {data}: name the data folder once")
    options = RunOptions(folder or data, run)
    with options.lock(create=True):
        say(f"settings of the run: {write_settings(options)}")


@app.command(rich_help_panel=DAILY, epilog="Example: melstack audit --data mydata")
@expand_groups
def audit(source: CasesOptions) -> None:
    """Look for leaks: shared patients, copied pictures, columns that reveal the target; stop at a blocking one."""
    with source.lock(create=True):
        run = freeze(source)
        audit_cases(run, print_all=True)
        from melstack.closing.short_ends import print_short_end

        print_short_end(run, [], "submission")


@app.command(rich_help_panel=CLOSER, epilog="Example: melstack eda --data mydata")
@expand_groups
def eda(source: CasesOptions) -> None:
    """Write eda.html: counts, sizes, missing values, train against test, a contact sheet."""
    with source.lock(create=True):
        run = freeze(source)
        from melstack.report.data_page.page import explore

        explore(run)


@app.command("contact-sheet", rich_help_panel=CLOSER, epilog="Example: melstack contact-sheet --data mydata")
@expand_groups
def contact_sheet(source: CasesOptions) -> None:
    """Put pictures of the data folder on one PNG, malignant ones framed in red: contact_sheet.png in the run."""
    with source.lock(create=True):
        run = freeze(source)
        from melstack.report.data_page import contact_sheet as sheet

        data = Path(run.facts()["data"])
        say(str(sheet.contact_sheet(run.read_cases(), data, run.folder / "contact_sheet.png")))


@app.command(rich_help_panel=MAINTAINING, epilog="Example: melstack verify --data mydata")
@expand_groups
def verify(run_options: RunOptions) -> None:
    """Check every file of a run and all pictures in whole; exit code 3: damaged files, 4: inputs that changed since."""
    from melstack.verify import DAMAGE, STALE, UNKNOWN, print_verdicts, verify_run
    from runtime.exit_codes import DAMAGED_RUN, STALE_RUN
    from runtime.run_folder import Run

    run = Run(run_options.folder)
    verdicts = verify_run(run)
    counts = print_verdicts(run, verdicts)
    remedy = f"the command that made them makes them again ({command('submission', run=run.folder)} makes all)"
    if counts[DAMAGE]:
        raise RunFault(f"{run.folder}: damaged files; {remedy}", DAMAGED_RUN)
    if any(verdict.mark == run.cases_mark and verdict.state in (STALE, UNKNOWN) for verdict in verdicts):
        remedy = (
            f"restore the data that the cases were frozen from, or begin a new run of it ({option('run', 'folder')})"
        )
    if counts[STALE] or counts[UNKNOWN]:
        raise RunFault(f"{run.folder}: files whose inputs have changed since they were made; {remedy}", STALE_RUN)


def write_settings(options: RunOptions) -> Path:
    """Write the run's run.toml with comments and with what the data folder holds; return its path.

    Raises InputFault if the run has such a file, or if the data folder does not exist.
    """
    from features.folder.data_folder import DataFolder
    from features.folder.describe import describe_folder
    from melstack.run_settings import NAME, recall
    from runtime.files import write_text

    path = options.folder / NAME
    if path.exists():
        raise InputFault(f"{path}: is there already; edit it, or name another run with {option('run')}")
    notes = describe_folder(DataFolder.open(options.data_folder))
    memory = recall(options.folder, {"data": options.data_folder}, {"data"}, is_named=options.run is not None)
    write_text(path, memory.text(notes))
    return path
