"""Write the synthetic clinic as a data folder: pictures and tables in the contest's layout, and the hidden truth."""

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import InputFault, list_names
from runtime.files import read_json, replacing, write_json
from runtime.progress import track

if TYPE_CHECKING:
    import pandas as pd

VERSION = 2  # increase it if the same seed gives other tables or pictures
METADATA = ["patient_id", "sex", "age_approx", "anatom_site_general_challenge"]
LABELS = ["diagnosis", "benign_malignant", "target"]
TABLES = ("train.csv", "test.csv", "sample_submission.csv", "truth.csv")


def draw_clinic(folder: Path, *, train: int = 1000, test: int = 400, seed: int = 0, jobs: int | None = None) -> Path:
    """Draw a clinic in the contest's layout into ``folder`` and return it; do nothing if it already exists.

    ``train`` and ``test`` count pictures; ``jobs`` counts processes (None: one per core that is ours),
    which do not change the bytes. truth.csv holds target and risk of every row and is for scoring only.
    clinic.json is written last and marks completion: a folder without it is drawn again. Raises InputFault if the
    folder holds another clinic or other data.
    """
    request = {"train": train, "test": test, "seed": seed, "version": VERSION}
    if (folder / "clinic.json").exists():
        _refuse_another(folder, request)
        return folder
    _refuse_other_data(folder)
    from features.clinic.cohort import best_auc, draw_cohort  # slow to import; not needed if the clinic exists

    cohort = draw_cohort(train, test, seed)
    _draw_pictures(folder, cohort, seed, jobs)
    _write_tables(folder, cohort)
    write_json(folder / "clinic.json", request | {"auc_of_true_risk": best_auc(cohort)})
    return folder


def _draw_pictures(folder: Path, cohort: "pd.DataFrame", seed: int, jobs: int | None) -> None:
    from joblib import delayed

    from features.clinic.description import Lesion
    from features.clinic.lesions import write_lesion
    from runtime.machine.pool import open_pool

    paths = [folder / "jpeg" / role / f"{name}.jpg" for name, role in cohort["role"].items()]
    for role in ("train", "test"):
        (folder / "jpeg" / role).mkdir(parents=True, exist_ok=True)
    for stale in set((folder / "jpeg").glob("*/DEMO_*.jpg")) - set(paths):
        stale.unlink()
    columns = [field.name for field in fields(Lesion)]
    lesions = [Lesion(*row) for row in cohort[columns].itertuples(index=False)]
    tasks = (delayed(write_lesion)(paths[case], lesion, seed, case) for case, lesion in enumerate(lesions))
    results = open_pool(jobs, return_as="generator_unordered")(tasks)
    for _ in track(results, "drawing the clinic", total=len(paths)):
        pass


def _write_tables(folder: Path, cohort: "pd.DataFrame") -> None:
    train, test = cohort[cohort["role"] == "train"], cohort[cohort["role"] == "test"]
    sample = test[[]].assign(target=0)
    tables = (train[METADATA + LABELS], test[METADATA], sample, cohort[["target", "risk"]])
    for name, table in zip(TABLES, tables, strict=True):
        with replacing(folder / name) as temporary:
            table.to_csv(temporary)


def _refuse_another(folder: Path, request: dict[str, int]) -> None:
    facts = read_json(folder / "clinic.json")
    existing = {key: facts.get(key) for key in request}
    if existing != request:
        raise InputFault(
            f"{folder / 'clinic.json'}: the folder holds the clinic {_numbers(existing)}, requested is "
            f"{_numbers(request)}; name another folder, or delete this one"
        )


def _numbers(clinic: dict[str, int]) -> str:
    return ", ".join(f"{key}={value}" for key, value in clinic.items())


def _refuse_other_data(folder: Path) -> None:
    # Real data in the same layout must not be overwritten.
    pictures = [path for path in sorted(folder.glob("jpeg/*/[!.]*")) if not path.name.startswith("DEMO_")]
    tables = [folder / name for name in TABLES if (folder / name).exists() and not _is_ours(folder / name)]
    if others := [path.relative_to(folder) for path in tables + pictures]:
        raise InputFault(
            f"{folder}: the folder holds data of another source: {list_names(others)}; name an empty or new folder"
        )


def _is_ours(table: Path) -> bool:
    with table.open(encoding="utf-8") as lines:
        next(lines, "")
        return next(lines, "").startswith("DEMO_")
