"""Compare the bundle in a run folder with the stack that the run has now."""

from pathlib import Path

from level2_stack.finished import stack_digest
from melstack.bundle.manifest import NAME
from melstack.run_settings import read_run_settings
from runtime.files import read_json
from runtime.invocation import command
from runtime.run_folder import Run


def another_stack(folder: Path) -> str:
    """Return a sentence if the bundle ``folder`` of a run is not of the run's stack; '' for one that is, or elsewhere.

    The run's stack is that of the recipe in run.toml.
    """
    run, manifest = Run(folder.parent), folder / NAME
    if folder.name != "bundle" or not manifest.is_file() or not run.cases_mark.is_file():
        return ""
    content = read_json(manifest)
    digest_before, recipe = content["facts"].get("stack"), str(content["recipe"])
    now = Path(str(read_run_settings(run.folder).get("recipe", recipe))).name.removesuffix(".toml")
    stack = run.level2 / now
    if not (stack / "run.json").is_file():
        state = f"the stack of recipe {now} is not finished"
    elif (digest := stack_digest(stack)) == digest_before:
        return ""
    else:
        state = f"the run's stack is {_short(digest)}, recipe {now}"
    remedy = f"{command('submission', run=run.folder)} makes the bundle again"
    return f"{folder} was made from stack {_short(digest_before)}, recipe {recipe}, but {state}; {remedy}"


def _short(digest: object) -> str:
    return str(digest)[:8]
