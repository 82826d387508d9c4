"""Which stack the parts of a run were made from: no page shows parts of two stacks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from level2_stack.finished import stack_digest
from melstack.report.formats import SHORT
from melstack.run_settings import as_toml, read_run_settings
from runtime.files import read_json
from runtime.invocation import command
from runtime.provenance import digest_of_code, digest_of_file, read_mark
from runtime.run_folder import Run

GALLERIES_MARK = "galleries.json"  # in the run folder, beside galleries/
PAPER_MARK = Path("paper/paper.json")  # in the run folder, beside the files of the paper
STUDENT_MARK = Path("student/student.json")  # in the run folder, beside the student of a stack
NEXT_MARK = Path("next/next.json")  # in the run folder, beside the tables of what to try next


@dataclass(frozen=True)
class OlderPart:
    """A sentence on a part of a run that was made from another stack; ``command`` makes it from that of the page."""

    sentence: str
    command: str


def older_part(name: str, stack: str, of_page: str, renewal: str) -> OlderPart | None:
    """Return what a page says instead of a part that was made from ``stack``; None if that is the page's own stack.

    ``name`` is the part in words, in the plural; ``stack`` is "" if the part does not record its stack; ``renewal`` is
    the command that makes the part again.
    """
    if stack == of_page:
        return None
    origin = f"they were made from another stack ({stack[:SHORT]})" if stack else "they do not record their stack"
    return OlderPart(
        f"The {name} of this run are left out: {origin}, and this page shows stack {of_page[:SHORT]}.", renewal
    )


def gallery_ingredients(run: Run, recipe: str, patients: Sequence[str] | None = None) -> dict[str, Any]:
    """Return what the galleries of the stack ``recipe`` depend on; None: ``patients`` are chosen."""
    tables = {
        "explanations": run.level2 / recipe / "explanations.parquet",
        "ugly": run.blocks / "ugly_duckling.parquet",
    }
    root = Path(__file__).parents[2]
    return {
        "recipe": recipe,
        "stack": stack_digest(run.level2 / recipe),
        "tables": {name: digest_of_file(path) if path.is_file() else None for name, path in tables.items()},
        "patients": None if patients is None else list(patients),
        "code": digest_of_code([*root.glob("melstack/report/galleries/*.py"), root / "level1_cnn/inspect/gradcam.py"]),
    }


def paper_ingredients(run: Run, recipe: str) -> dict[str, Any]:
    """Return what the files of a paper depend on: the stack ``recipe``."""
    return {"recipe": recipe, "stack": stack_digest(run.level2 / recipe)}


def next_ingredients(run: Run, recipe: str) -> dict[str, Any]:
    """Return what the tables of what to try next depend on: the stack ``recipe``, and the code."""
    root = Path(__file__).parents[2]
    code = [*root.glob("melstack/next_steps/*.py"), *root.glob("level2_stack/outlook/*.py")]
    return {"recipe": recipe, "stack": stack_digest(run.level2 / recipe), "code": digest_of_code(code)}


def page_commands(run: Run, recipe: str) -> dict[str, str]:
    """Return verb -> the command that a reader of a page types to make a part of the stack ``recipe`` of ``run``."""
    mark = read_mark(run.level2 / recipe / "run.json") or {}
    own, of_run = as_toml("recipe", mark.get("recipe", recipe)), read_run_settings(run.folder).get("recipe", "default")
    options: dict[str, Any] = {"run": run.folder} | ({} if own == of_run else {"recipe": own})
    commands = {verb: command(verb, **options) for verb in ("explain", "next", "report", "stack", "submission")}
    return {verb: text.strip("`") for verb, text in (commands | {"audit": command("audit", run=run.folder)}).items()}


def other_stacks(run: Run, recipe: str) -> list[OlderPart]:
    """Return what pages say of submission.csv and of the bundle, if they are not from the stack of ``recipe``."""
    own, renewal = stack_digest(run.level2 / recipe), page_commands(run, recipe)["submission"]
    return [
        OlderPart(f"{name} of this run is from another stack, {stack[:SHORT]} of recipe {other}.", renewal)
        for name, stack, other in _outputs(run)
        if stack != own
    ]


def _outputs(run: Run) -> Iterator[tuple[str, str, str]]:
    """Yield name, digest of the stack and recipe of the submission and the bundle, as far as the run has them."""
    submission = read_mark(run.submission.with_suffix(".json"))
    if submission is not None and run.submission.is_file():
        yield (
            f"The file {run.submission.name}",
            submission["made_from"]["predictions"],
            submission["made_from"]["recipe"],
        )
    manifest = run.folder / "bundle" / "manifest.json"
    if manifest.is_file():
        content: Mapping[str, Any] = read_json(manifest)
        yield "The bundle", content["facts"].get("stack", "unknown"), content["recipe"]


def student_ingredients(run: Run, recipe: str, network: str) -> dict[str, Any]:
    """Return what the student of the stack ``recipe`` on ``network`` depends on: both, and the code."""
    root = Path(__file__).parents[2]
    code = [*root.glob("melstack/distillation/*.py"), *root.glob("level2_stack/outlook/*.py")]
    return {
        "recipe": recipe,
        "stack": stack_digest(run.level2 / recipe),
        "network": {network: digest_of_file(run.level1 / network / "run.json")},
        "code": digest_of_code(code),
    }
