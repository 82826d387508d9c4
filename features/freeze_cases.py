"""The case table of a run, frozen once: made from a data folder, and refused where that has changed since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from features.folder.data_folder import PAIRS, CaseFolders, DataFolder
from features.folder.layout import MAPPING, Request
from features.folder.picture_locations import EXTRA, source_name
from runtime.errors import InputFault
from runtime.files import replacing
from runtime.provenance import check_inputs, is_fresh, outputs_of, read_mark, sha256_of, write_mark
from runtime.run_folder import Run

if TYPE_CHECKING:
    import pandas as pd


def freeze_cases(run: Run, request: Request) -> bool:
    """Make the run's case table once; return False when it was there already, made from the same things.

    Raises InputFault when it was made from other data or folds: everything below rests on it.
    """
    folders = CaseFolders.open(request)
    made_from = case_ingredients(folders)
    remedy = f"take another run name (RUN=...), or delete {run.folder} to begin anew"
    check_inputs(run.cases_mark, made_from, remedy)
    if is_fresh(run.cases_mark, made_from, [run.cases, run.pairs]):
        return False
    # Slow to import, and not needed to see that a run is fresh.
    from features.cases.case_table import read_cases
    from features.cases.summary import describe_cases
    from features.leaks.pairs import find_pairs, write_pairs
    from runtime.tables import write_table

    data, expected = folders.data, _expected(run)

    def pairs_of(cases: pd.DataFrame) -> pd.DataFrame:
        pairs = find_pairs(cases, data, run.pairs.parent)
        write_pairs(run.pairs, pairs)
        return pairs

    cases = read_cases(request, pairs_of=pairs_of, folders=folders)
    with replacing(run.cases) as temporary:
        write_table(temporary, cases)
        _refuse_other_cases(run, expected, sha256_of(temporary))
    pictures = int(cases["picture"].notna().sum()) if "picture" in cases else 0
    sample = data.layout.sample if data.has(data.layout.sample) else None
    facts = {"data": str(request.data), "sample": sample, "cases": len(cases), "pictures": pictures}
    summary, outputs = describe_cases(cases) + data.notes, [run.cases, run.pairs]
    write_mark(run.cases_mark, made_from, outputs, **facts, request=request.as_json(), summary=summary)
    return True


def _expected(run: Run) -> str | None:
    """Return the digest of the case table as it once was; None where nobody knows, or it was never finished."""
    content = read_mark(run.cases_mark)
    if content is not None:
        recorded = outputs_of(run.cases_mark, content).get(run.cases)
        return None if recorded is None else str(recorded["sha256"])
    # Of a damaged mark the table may be whole; folds that were frozen must not change unseen.
    return sha256_of(run.cases) if run.cases_mark.is_file() and run.cases.is_file() else None


def _refuse_other_cases(run: Run, expected: str | None, found: str) -> None:
    if expected is not None and expected != found:
        raise InputFault(
            f"{run.cases}: damaged, and the same data do not give the same table any more (SHA-256 {found[:16]}... "
            f"instead of {expected[:16]}...): the program or its packages are others than when it was frozen. Put the "
            f"table back from a copy, or delete {run.folder} to begin anew"
        )


def case_ingredients(folders: CaseFolders) -> dict[str, Any]:
    """Return the digests of everything the case table of ``folders`` is made of, and what was asked of it."""
    request, data, layout = folders.request, folders.data, folders.data.layout
    tables = (layout.train, layout.test, layout.sample, layout.train_sizes, layout.test_sizes, PAIRS)
    chosen: dict[str, Any] = {"folds": request.folds, "official": request.official, "seed": request.seed}
    chosen["ties"] = not request.official  # patients whose pictures show the same share a fold
    chosen["layout"] = layout.model_dump(mode="json")
    chosen["files"] = data.digests(tables)
    chosen["pictures"] = data.picture_digests(("train", "test"))
    if folders.extra:
        chosen["extra"] = {source_name(folder.path): _extra_ingredients(folder) for folder in folders.extra}
        chosen["extra_order"] = list(map(source_name, request.extra))  # of two same names, the first counts
    return chosen


def _extra_ingredients(folder: DataFolder) -> dict[str, Any]:
    return {
        "files": folder.digests((folder.layout.train, MAPPING)),
        "pictures": folder.picture_digests((EXTRA,)),
    }
