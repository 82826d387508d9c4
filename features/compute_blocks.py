"""Compute the feature blocks of a run that are not fresh, from cases without target and fold."""

from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from features import blocks
from features.blocks import Sources
from runtime.plural import number_of
from runtime.progress import detail, say, track
from runtime.provenance import digest_of_code, digest_of_file, is_fresh, read_mark, write_mark
from runtime.run_folder import Run
from runtime.tables import read_table, write_table


def compute_blocks(run: Run, networks: Collection[str] | None = None) -> None:
    """Write features/<block>.parquet for every block whose required sources the run has.

    ``networks`` are the only ones of the run whose embeddings a block may use; None: all.
    """
    cases = run.read_cases()
    run.check_networks()
    cases = cases[cases["role"].isin(["train", "test"])]
    embeddings = {name: path for name, path in run.embeddings().items() if networks is None or name in networks}
    sources, made_from = _sources(run, cases, embeddings), _ingredients(run, embeddings)
    fresh = [name for name in blocks.names() if is_fresh(*_block_files(run, name, made_from))]
    stale = [name for name in blocks.names() if name not in fresh]
    if fresh:
        detail(f"blocks: fresh, {', '.join(fresh)}")
    new = [name for name in stale if _compute(run, name, cases, sources, made_from)]
    say(f"blocks: {', '.join(new)}" if new else "blocks: fresh")


def _compute(run: Run, name: str, cases: pd.DataFrame, sources: Sources, made_from: dict[str, Any]) -> bool:
    """Write a block's table, or remove it if the run lacks a source of the block; return whether it is written."""
    mark, block_sources, (table,) = _block_files(run, name, made_from)
    missing = blocks.missing_needs(name, sources)
    if missing:
        detail(f"block {name}: left out because the run has no {' and no '.join(missing)}")
        for path in (mark, table):  # an earlier table may be of networks that are left out now
            path.unlink(missing_ok=True)
        return False
    block = blocks.build_block(name, cases, sources)
    write_table(table, block)
    write_mark(mark, block_sources, [table])
    detail(f"block {name}: {number_of(block.shape[1], 'column')} for {number_of(len(block), 'case')}")
    return True


def _block_files(run: Run, name: str, made_from: dict[str, Any]) -> tuple[Path, dict[str, Any], list[Path]]:
    """Return the block's mark, the digests of its sources (with its own code), and its table."""
    folder = Path(blocks.__file__).parent
    block_sources = {**made_from, "code": digest_of_code([folder / "__init__.py", folder / f"{name}.py"])}
    return run.blocks / f"{name}.json", block_sources, [run.blocks / f"{name}.parquet"]


def block_marks(run: Run) -> dict[Path, dict[str, Any]]:
    """Return, for every block, the path of its mark -> the current digests of its sources."""
    marks: dict[Path, dict[str, Any]] = {}
    for name in blocks.names():
        content = read_mark(run.blocks / f"{name}.json")
        # A network that came later, or that the stack leaves out, does not make a block stale.
        networks = run.embeddings() if content is None else content["made_from"]["embeddings"]
        embeddings = {each: path for each, path in run.embeddings().items() if each in networks}
        marks |= [_block_files(run, name, _ingredients(run, embeddings))[:2]]
    return marks


def _ingredients(run: Run, embeddings: Mapping[str, Path]) -> dict[str, Any]:
    """Return the digests of all sources; a block may not use all of them, but recomputing it costs little."""
    return {
        "cases": run.cases_digest(),
        "statistics": digest_of_file(run.statistics) if run.statistics.is_file() else None,
        "embeddings": {model: digest_of_file(path) for model, path in embeddings.items()},
    }


def _sources(run: Run, cases: pd.DataFrame, embeddings: Mapping[str, Path]) -> Sources:
    if not run.has_statistics() and "picture" in cases and cases["picture"].notna().all():
        _measure_pictures(run, cases)
    statistics = read_table(run.statistics) if run.statistics.is_file() else None
    readers = {model: partial(read_table, path) for model, path in embeddings.items()}
    return Sources(statistics=statistics, embeddings=readers)


def _measure_pictures(run: Run, cases: pd.DataFrame) -> None:
    """Measure every picture; level one does it in its own pass, but this run has no level one."""
    from features.pictures.scan import measure_pictures, scan  # slow to import; not needed in a second run

    data = Path(run.facts()["data"])
    paths = {str(name): data / picture for name, picture in cases["picture"].items()}
    run.write_statistics(measure_pictures(track(scan(paths), "measuring pictures", len(paths))))
