"""Write submission.csv: one probability per row of the sample, checked on disk before it replaces an old file."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from features.folder.column_names import ID_COLUMNS
from features.folder.table_file import id_column, read_user_table
from features.pictures.picture_ids import match_ids
from level2_stack.evaluation.known_truth import report_known_truth
from runtime.errors import Faults, InputFault, list_names
from runtime.files import read_json, replacing
from runtime.progress import say
from runtime.run_folder import Run
from runtime.tables import read_table

HEADER = ["image_name", "target"]  # unless the sample names its first column isic_id, as the ISIC archive does


def read_sample(path: Path) -> pd.DataFrame:
    """Return the target column of the sample submission at ``path``, indexed by the ids (str) in the file's order.

    Raises InputFault for a missing or unreadable file, wrong columns, an empty id or a repeated id.
    """
    if not path.is_file():
        raise InputFault(f"{path}: no such sample submission; give the path of an existing CSV file")
    frame = read_user_table(path, *ID_COLUMNS, HEADER[1], parse_missing=False)  # a case may be called NA
    name = id_column(frame.columns)
    if not {name, HEADER[1]} <= set(frame.columns):
        raise InputFault(f"{path}: columns {', '.join(frame.columns)}; expected {', '.join(HEADER)}")
    # Only the ids of a sample are used. The case table has no blanks around its ids, so they are removed here too.
    sample = frame.assign(**{name: frame[name].str.strip()}).set_index(name)[["target"]]
    _check_ids(sample.index, str(path))
    return sample


def _check_ids(ids: pd.Index, where: str) -> None:
    faults = Faults()
    if ids.empty:
        faults.add("the sample submission has no rows")
    if (ids == "").any():
        faults.add(f"rows without image_name: {int((ids == '').sum())}")
    repeats = ids[ids.duplicated()].unique()
    if len(repeats):
        faults.add(f"repeated ids: {list_names(repeats)}; every case must have one row")
    faults.raise_if_any(where)


def write_submission(
    path: Path,
    probabilities: pd.Series,
    sample: pd.DataFrame | None,
    cases: pd.DataFrame,
    spellings: Mapping[str, str] | None = None,
) -> None:
    """Write ``probabilities`` (index image_name, values in [0, 1]) under the sample's header to ``path``.

    Rows and their ids follow ``sample``; if it is None, the test cases in the order of ``cases``, with the ids of the
    test table: ``spellings`` has those that differ from the image_name. Train cases in ``probabilities`` are not
    written. Every float64 is written as the shortest text that reads back as the same number.
    Raises InputFault that lists all faults together (rows without a probability, repeated ids, values that are not
    finite or outside [0, 1], ids that are not test cases); the old file is then left as it is.
    """
    test = cases.index[cases["role"] == "test"]
    names = test if sample is None else match_ids(sample.index, test)
    _check_probabilities(path.name, probabilities, names, cases)
    ids = test.map(lambda name: (spellings or {}).get(name, name)) if sample is None else sample.index
    values = probabilities.reindex(names).set_axis(ids).astype(np.float64)
    header = [HEADER[0] if sample is None else str(sample.index.name), HEADER[1]]
    content = _as_csv(values, header).encode("utf-8")
    with replacing(path) as temporary:
        temporary.write_bytes(content)
        if temporary.read_bytes() != content:
            raise OSError(f"{path}: the bytes read back differ from the bytes written; check the disk")
        check_submission(temporary, list(ids), header)


def _check_probabilities(name: str, probabilities: pd.Series, ids: pd.Index, cases: pd.DataFrame) -> None:
    faults = Faults()
    test = cases.index[cases["role"] == "test"]
    numbers = pd.to_numeric(probabilities, errors="coerce")
    rows = numbers[numbers.index.isin(ids)]
    wrong_ids = {
        "ids of the sample that are not test cases": ids.difference(test, sort=False),
        "ids that the sample has more than once": ids[ids.duplicated()].unique(),
        "rows without a probability": ids.difference(rows.index, sort=False),
        "ids with more than one probability": rows.index[rows.index.duplicated()].unique(),
        "probabilities that are not finite numbers": rows.index[~np.isfinite(rows)],
        "probabilities outside [0, 1]": rows.index[np.isfinite(rows) & ~rows.between(0, 1)],
        "probabilities of ids that are not in the case table": numbers.index.difference(cases.index, sort=False),
    }
    for problem, names in wrong_ids.items():
        if len(names):
            faults.add(f"{problem}: {list_names(names)}")
    if ids.empty:
        faults.add("the case table has no test cases to write")
    faults.raise_if_any(f"{name} was not written")


def _as_csv(values: pd.Series, header: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    # repr returns the shortest text that reads back as the same float64.
    writer.writerows((name, repr(float(value))) for name, value in values.items())
    return text.getvalue()


def check_submission(path: Path, ids: Sequence[str], names: Sequence[str] = HEADER) -> None:
    """Raise InputFault unless ``path`` is a submission of exactly ``ids``, in this order, with the columns ``names``.

    The message lists all faults: a wrong header; ids that are missing, unexpected or out of order; values that are not
    finite numbers within [0, 1].
    """
    with path.open(encoding="utf-8", newline="") as stream:
        header, *rows = [*csv.reader(stream)] or [[]]
    faults = Faults()
    if header != list(names) or any(len(row) != len(names) for row in rows):
        faults.add(f"header {','.join(header)!r}; expected {','.join(names)!r} and two fields in every row")
        faults.raise_if_any(path.name)
    file_ids, expected_ids = pd.Index([row[0] for row in rows]), pd.Index(ids)
    missing, additional = expected_ids.difference(file_ids), file_ids.difference(expected_ids)
    if len(missing) or len(additional):
        faults.add(f"missing rows: {list_names(missing)}; unexpected rows: {list_names(additional)}")
    elif list(file_ids) != list(expected_ids):
        faults.add("rows are repeated, or their order is not that of the sample")
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
    """Write the run's submission.csv from the stack of ``recipe_file``; raise InputFault without test cases."""
    cases = run.read_cases()
    if not (cases["role"] == "test").any():
        raise InputFault(f"{run.folder}: the case table has no test cases; add them to the data folder")
    folder = run.level2 / recipe_file.stem
    data, sample = Path(run.facts()["data"]), run.facts()["sample"]
    probability = read_table(folder / "predictions.parquet")["probability"]
    spellings = run.facts().get("spellings")
    write_submission(run.submission, probability, read_sample(data / sample) if sample else None, cases, spellings)
    model = read_json(folder / "decisions.json")["submitted"]
    say(f"submission: {run.submission}: probabilities of {model}, recipe {recipe_file.stem}")
    report_known_truth(run, folder, cases, "test")
