"""The command that stacks the finished stacks of several runs."""

from pathlib import Path
from typing import Annotated

import typer

from melstack.option_types import setting
from melstack.options import DAILY, Prevalence, RunOptions, StackOptions, Verbose, split_names
from melstack.steps.stacking import stack_networks, write_submission

app = typer.Typer()


@app.command(rich_help_panel=DAILY, epilog="Example: melstack blend runs/a runs/b --run runs/blend")
def blend(
    stacks: Annotated[
        list[str] | None, typer.Argument(metavar="RUN ...", help="runs, or stacks of runs: runs/a/level2/default")
    ] = None,
    runs: Annotated[list[str] | None, setting("the same as an option: 'runs/a runs/b'", "FOLDER", "")] = None,
    run: Annotated[Path, setting("folder of the blend, a new run", "FOLDER")] = Path("runs/blend"),
    recipe: Annotated[
        str | None, setting("recipe of the blend: a built-in name, or a TOML file", "NAME", "blend")
    ] = None,
    prevalence: Prevalence = None,
    verbose: Verbose = False,
) -> None:
    """Stack the finished stacks of several runs over the same cases, and measure what each of them adds."""
    from level2_stack.foreign.bring import import_into_run
    from level2_stack.recipe import read_recipe
    from melstack.all_findings import refuse_stack
    from melstack.closing.stack_end import print_end
    from melstack.exchange.blend import FOLDER, find_stacks, make_blend_run, remember_blend
    from melstack.exchange.gains import measure_gains, print_gains
    from melstack.steps.cases import audit_cases
    from runtime.run_folder import Run

    sources = find_stacks([Path(name) for name in [*split_names(stacks), *split_names(runs)]], run)
    read_recipe(StackOptions(recipe or "blend").file)
    with RunOptions(run=run, verbose=verbose).lock(create=True):
        target, names = Run(run), [source.name for source in sources]
        make_blend_run(target, sources)
        settings = remember_blend(target, names, recipe, prevalence)
        options = StackOptions(settings["recipe"], prevalence=settings.get("prevalence"))
        # Rows are matched by name: their order needs no confirmation by other networks.
        import_into_run(target, target.folder / FOLDER, names)
        audit_cases(target)
        stack_networks(target, options, sorted(names))
        refuse_stack(target, options.file.stem)
        if (target.read_cases()["role"] == "test").any():
            write_submission(target, options.file)
        print_gains(measure_gains(target, options.file, options.prevalence), target.level2 / options.file.stem)
        print_end(target, options.file.stem, (target.submission,) if target.submission.is_file() else ())
