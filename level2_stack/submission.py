"""submission.csv: one probability per row of the sample, checked on disk before it is moved into place."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from features.folder.csv_file import ID_COLUMNS, id_column, read_csv
from level2_stack.evaluation.known_truth import say_reached
from runtime.errors import Faults, InputFault, list_names
from runtime.files import read_json, replacing
from runtime.progress import say
from runtime.run_folder import Run
from runtime.tables import read_table

HEADER = ["image_name", "target"]  # unless the sample calls the case by the archive's name, isic_id


def read_sample(path: Path) -> pd.DataFrame:
    """Return the sample submission at ``path``: its target column, indexed by the case names (str) in its own order.

    Raises InputFault for a file that is missing or unreadable, other columns, an empty id or an id given twice.
    """
    if not path.is_file():
        raise InputFault(f"{path}: no such sample submission")
    frame = read_csv(path, *ID_COLUMNS, HEADER[1], missing=False)  # a case may be called NA
    name = id_column(frame.columns)
    if not {name, HEADER[1]} <= set(frame.columns):
        raise InputFault(f"{path}: columns {', '.join(frame.columns)}; a sample submission has {', '.join(HEADER)}")
    # What a sample's rows hold besides their names is not used; blanks around a name the case table has not either.
    sample = frame.assign(**{name: frame[name].str.strip()}).set_index(name)[["target"]]
    _check_ids(sample.index, str(path))
    return sample


def _check_ids(ids: pd.Index, where: str) -> None:
    faults = Faults()
    if ids.empty:
        faults.add("it has no rows")
    if (ids == "").any():
        faults.add(f"rows without image_name: {int((ids == '').sum())}")
    twice = ids[ids.duplicated()].unique()
    if len(twice):
        faults.add(f"ids given more than once: {list_names(twice)}")
    faults.raise_if_any(where)


def write_submission(path: Path, probabilities: pd.Series, sample: pd.DataFrame | None, cases: pd.DataFrame) -> None:
    """Write ``probabilities`` (index image_name, values in [0, 1]) under the sample's header to ``path``.

    Rows follow ``sample`` (index image_name), or the test cases in the order of ``cases`` when it is None; train
    cases among ``probabilities`` are not written. Raises InputFault that names all faults together (rows without a
    probability, repeated ids, values that are not finite or outside [0, 1], ids that are no test case) and then
    leaves an older file untouched. Every float64 keeps its own shortest text, so distinct values stay distinct.
    """
    wanted = cases.index[cases["role"] == "test"] if sample is None else sample.index
    _check_before(path.name, probabilities, wanted, cases)
    values = probabilities.reindex(wanted).astype(np.float64)
    header = [HEADER[0] if sample is None else str(sample.index.name), HEADER[1]]
    content = _as_csv(values, header).encode("utf-8")
    with replacing(path) as temporary:
        temporary.write_bytes(content)
        if temporary.read_bytes() != content:
            raise OSError(f"{path}: what was read back is not what was written")
        check_submission(temporary, list(wanted), header)


def _check_before(name: str, probabilities: pd.Series, wanted: pd.Index, cases: pd.DataFrame) -> None:
    faults = Faults()
    test = cases.index[cases["role"] == "test"]
    numbers = pd.to_numeric(probabilities, errors="coerce")
    here = numbers[numbers.index.isin(wanted)]
    checks = {
        "the sample asks for ids that are no test case": wanted.difference(test, sort=False),
        "ids asked for more than once": wanted[wanted.duplicated()].unique(),
        "rows without a probability": wanted.difference(here.index, sort=False),
        "ids with more than one probability": here.index[here.index.duplicated()].unique(),
        "probabilities that are not finite numbers": here.index[~np.isfinite(here)],
        "probabilities outside [0, 1]": here.index[np.isfinite(here) & ~here.between(0, 1)],
        "probabilities of ids that are not in the case table": numbers.index.difference(cases.index, sort=False),
    }
    for what, ids in checks.items():
        if len(ids):
            faults.add(f"{what}: {list_names(ids)}")
    if wanted.empty:
        faults.add("there is no test case to write")
    faults.raise_if_any(f"{name} was not written")


def _as_csv(values: pd.Series, header: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    # repr is the shortest text that reads back as the same float64.
    writer.writerows((name, repr(float(value))) for name, value in values.items())
    return text.getvalue()


def check_submission(path: Path, wanted: Sequence[str], names: Sequence[str] = HEADER) -> None:
    """Raise InputFault unless ``path`` is a submission of exactly the ids ``wanted``, in order, under ``names``.

    All faults are named together: the header, ids missing, unasked or out of order, values that are not finite
    numbers within [0, 1].
    """
    with path.open(encoding="utf-8", newline="") as stream:
        header, *rows = [*csv.reader(stream)] or [[]]
    faults = Faults()
    if header != list(names) or any(len(row) != len(names) for row in rows):
        faults.add(f"header {','.join(header)!r}; expected {','.join(names)!r} and two fields in every row")
        faults.raise_if_any(path.name)
    found, asked = pd.Index([row[0] for row in rows]), pd.Index(wanted)
    missing, unasked = asked.difference(found), found.difference(asked)
    if len(missing) or len(unasked):
        faults.add(f"rows missing: {list_names(missing)}; rows not asked for: {list_names(unasked)}")
    elif list(found) != list(asked):
        faults.add("rows are repeated or in another order than asked for")
    wrong = [name for name, text in rows if not _is_probability(text)]
    if wrong:
        faults.add(f"values that are not finite numbers within [0, 1]: {list_names(wrong)}")
    faults.raise_if_any(path.name)


def _is_probability(text: str) -> bool:
    try:
        return 0.0 <= float(text) <= 1.0  # NaN compares false
    except ValueError:
        return False


def make_submission(run: Run, recipe_file: Path) -> None:
    """Write the run's submission.csv from the stack of ``recipe_file``; raise InputFault when there is no test case."""
    cases = run.read_cases()
    if not (cases["role"] == "test").any():
        raise InputFault(f"{run.folder}: there are no test cases to submit")
    folder = run.level2 / recipe_file.stem
    data, sample = Path(run.facts()["data"]), run.facts()["sample"]
    probability = read_table(folder / "predictions.parquet")["probability"]
    write_submission(run.submission, probability, read_sample(data / sample) if sample else None, cases)
    submitted = read_json(folder / "decisions.json")["submitted"]
    say(f"submission: {run.submission}, by {submitted} of recipe {recipe_file.stem}")
    say_reached(run, folder, cases, "test")
