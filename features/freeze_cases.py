"""Freeze the case table of a run: make it once from a data folder, and refuse a data folder that has changed since."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.folder.data_folder import CaseFolders, DataFolder
from features.folder.layout import MAPPING, Request
from features.folder.picture_locations import EXTRA, source_name
from runtime.errors import InputFault, list_names
from runtime.files import replacing
from runtime.invocation import option
from runtime.progress import say
from runtime.provenance import (
    MARK_KEYS,
    Inputs,
    check_inputs,
    is_fresh,
    outputs_of,
    read_mark,
    sha256_of,
    write_mark,
)
from runtime.run_folder import Run

if TYPE_CHECKING:
    import pandas as pd


def freeze_cases(run: Run, request: Request) -> bool:
    """Make the run's case table once; return False if it already exists and was made from the same input.

    Raises InputFault if it was made from other data or folds, since all later results depend on it.
    """
    folders, by_size = CaseFolders.open(request), records_sizes(run)
    made_from = case_ingredients(folders, by_size=by_size)
    _refuse_changes(run, made_from, folders.data)
    if is_fresh(run.cases_mark, made_from, [run.cases, run.pairs]):
        has_moved = Path(run.facts()["data"]).resolve() != request.data.resolve()
        if by_size:
            say("cases: from now on the contents of the pictures are compared, not only their sizes")
        if by_size or has_moved:
            _write_mark_again(run, folders)
        return False
    # Slow to import, and not needed to check that a run is fresh.
    from features.cases.case_table import read_cases
    from features.cases.summary import describe_cases
    from features.leaks.pairs import find_pairs, write_pairs
    from runtime.tables import write_table

    data, expected = folders.data, _expected_digest(run)

    def pairs_of(cases: pd.DataFrame) -> pd.DataFrame:
        """Find the pairs of ``cases`` and store them beside the table."""
        pairs = find_pairs(cases, data, run.pairs.parent)
        write_pairs(run.pairs, pairs)
        return pairs

    cases = read_cases(request, pairs_of=pairs_of, folders=folders)
    with replacing(run.cases) as temporary:
        write_table(temporary, cases)
        _refuse_other_cases(run, expected, sha256_of(temporary))
    pictures = int(cases["picture"].notna().sum()) if "picture" in cases else 0
    sample = data.layout.sample if data.has(data.layout.sample) else None
    facts: dict[str, Any] = {"data": str(request.data), "sample": sample, "cases": len(cases), "pictures": pictures}
    if data.spellings:  # ids of the tables that differ from the image_name
        facts["spellings"] = data.spellings
    if data.fold_names:  # what each fold is, by the column that makes the folds
        facts["fold_names"] = data.fold_names
    summary, outputs = describe_cases(cases) + data.notes, [run.cases, run.pairs]
    write_mark(run.cases_mark, made_from, outputs, **facts, request=request.as_json(), summary=summary)
    return True


def _expected_digest(run: Run) -> str | None:
    """Return the digest of the case table when it was frozen; None if it is unknown or was never finished."""
    content = read_mark(run.cases_mark)
    if content is not None:
        output = outputs_of(run.cases_mark, content).get(run.cases)
        return None if output is None else str(output["sha256"])
    # If the mark is damaged, the table may still be intact; frozen folds must not change without a message.
    return sha256_of(run.cases) if run.cases_mark.is_file() and run.cases.is_file() else None


def _refuse_other_cases(run: Run, expected: str | None, actual: str) -> None:
    if expected is not None and expected != actual:
        raise InputFault(
            f"{run.cases}: damaged, and the same data now give another table (SHA-256 {actual[:16]}... "
            f"instead of {expected[:16]}...), because the program or its packages have changed since it was frozen; "
            f"restore the table from a copy, or delete {run.folder} to start again"
        )


def _refuse_changes(run: Run, made_from: Inputs, data: DataFolder) -> None:
    """Raise InputFault if the case table was made from other inputs, with the names of pictures that changed since."""
    remedy = f"use another run name ({option('run')}), or delete {run.folder} to start again"
    try:
        check_inputs(run.cases_mark, made_from, remedy)
    except InputFault as fault:
        from features.leaks.traces import changed_pictures

        names = changed_pictures(run.pairs.parent, pictures_of_run(run, data.path)) if run.cases.is_file() else []
        raise InputFault(f"{fault}" + (f"\npictures that changed: {list_names(names)}" if names else "")) from fault


def pictures_of_run(run: Run, data: Path) -> dict[str, Path]:
    """Return image_name -> path of every picture of the frozen cases, whose data folder is ``data``."""
    from features.cases.attach_pictures import picture_paths  # slow to import, and only needed to name changes

    return picture_paths(run.read_cases(), data)


def records_sizes(run: Run) -> bool:
    """Return whether an earlier version froze the cases: their mark records the sizes of pictures, not the contents."""
    content = read_mark(run.cases_mark)
    return content is not None and "pictures" in content["made_from"]


def _write_mark_again(run: Run, folders: CaseFolders) -> None:
    """Write the mark of the unchanged case table with the place of its data and the fingerprints of its pictures."""
    request = folders.request
    facts = {key: value for key, value in (read_mark(run.cases_mark) or {}).items() if key not in MARK_KEYS}
    facts |= {"data": str(request.data), "request": request.as_json()}
    write_mark(run.cases_mark, case_ingredients(folders), [run.cases, run.pairs], **facts)


def case_ingredients(folders: CaseFolders, *, by_size: bool = False) -> dict[str, Any]:
    """Return what the case table of ``folders`` is made from: the request's values and the digests of all files.

    ``by_size``: pictures are compared by name and size, as earlier versions did, not by fingerprints of their contents.
    """
    request, data, layout = folders.request, folders.data, folders.data.layout
    ingredients: dict[str, Any] = {"folds": request.folds, "official": request.official, "seed": request.seed}
    ingredients |= request.fold_ways
    ingredients["ties"] = not request.official  # patients with pictures of the same lesion share a fold
    ingredients["layout"] = layout.as_ingredient()
    ingredients["files"] = data.digests(layout.tables())
    ingredients["pictures" if by_size else "contents"] = data.picture_digests(("train", "test"), by_size=by_size)
    if folders.extra:
        ingredients["extra"] = {source_name(each.path): _extra_ingredients(each, by_size) for each in folders.extra}
        ingredients["extra_order"] = list(
            map(source_name, request.extra)
        )  # if two folders have the same case, the first one's is used
    return ingredients


def _extra_ingredients(folder: DataFolder, by_size: bool) -> dict[str, Any]:
    return {
        "files": folder.digests((folder.layout.train, *folder.layout.train_join, MAPPING)),
        "pictures" if by_size else "contents": folder.picture_digests((EXTRA,), by_size=by_size),
    }
