"""Compute the feature blocks of a run that are not fresh, from cases without target and fold."""

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from features import blocks
from features.blocks import Sources
from runtime.progress import say, track
from runtime.provenance import digest_of_code, digest_of_file, is_fresh, write_mark
from runtime.run_folder import Run
from runtime.tables import read_table, write_table


def compute_blocks(run: Run) -> None:
    """Write features/<block>.parquet for every block whose required sources the run has."""
    cases = run.read_cases()
    run.check_networks()
    cases = cases[cases["role"].isin(["train", "test"])]
    sources = _sources(run, cases)
    made_from = _ingredients(run)
    fresh = [name for name in blocks.names() if is_fresh(*_block_files(run, name, made_from))]
    if fresh:
        say(f"blocks: fresh, {', '.join(fresh)}")
    for name in blocks.names():
        if name not in fresh:
            _compute(run, name, cases, sources, made_from)


def _compute(run: Run, name: str, cases: pd.DataFrame, sources: Sources, made_from: dict[str, Any]) -> None:
    missing = blocks.missing_needs(name, sources)
    if missing:
        say(f"block {name}: left out because the run has no {' and no '.join(missing)}")
        return
    block = blocks.build_block(name, cases, sources)
    mark, block_sources, (table,) = _block_files(run, name, made_from)
    write_table(table, block)
    write_mark(mark, block_sources, [table])
    say(f"block {name}: {block.shape[1]} columns for {len(block)} cases")


def _block_files(run: Run, name: str, made_from: dict[str, Any]) -> tuple[Path, dict[str, Any], list[Path]]:
    """Return the block's mark, the digests of its sources (with its own code), and its table."""
    folder = Path(blocks.__file__).parent
    block_sources = {**made_from, "code": digest_of_code([folder / "__init__.py", folder / f"{name}.py"])}
    return run.blocks / f"{name}.json", block_sources, [run.blocks / f"{name}.parquet"]


def block_marks(run: Run) -> dict[Path, dict[str, Any]]:
    """Return, for every block, the path of its mark -> the current digests of its sources."""
    made_from = _ingredients(run)
    return dict(_block_files(run, name, made_from)[:2] for name in blocks.names())


def _ingredients(run: Run) -> dict[str, Any]:
    """Return the digests of all sources; a block may not use all of them, but recomputing it costs little."""
    return {
        "cases": run.cases_digest(),
        "statistics": digest_of_file(run.statistics) if run.statistics.is_file() else None,
        "embeddings": {model: digest_of_file(path) for model, path in run.embeddings().items()},
    }


def _sources(run: Run, cases: pd.DataFrame) -> Sources:
    if not run.has_statistics() and "picture" in cases and cases["picture"].notna().all():
        _measure_pictures(run, cases)
    statistics = read_table(run.statistics) if run.statistics.is_file() else None
    return Sources(
        statistics=statistics, embeddings={model: partial(read_table, path) for model, path in run.embeddings().items()}
    )


def _measure_pictures(run: Run, cases: pd.DataFrame) -> None:
    """Measure every picture; level one does it in its own pass, but this run has no level one."""
    from features.pictures.scan import measure_pictures, scan  # slow to import; not needed in a second run

    data = Path(run.facts()["data"])
    paths = {str(name): data / picture for name, picture in cases["picture"].items()}
    run.write_statistics(measure_pictures(track(scan(paths), "measuring pictures", len(paths))))
