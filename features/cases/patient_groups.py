"""The patient of every case, by one rule in train, test, external and new cases."""

import re
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from features.cases.patients import FILLER, blank_fillers, of_unique, patient_keys
from features.folder.layout import LESION
from features.folder.notes import warning
from features.folder.picture_locations import EXTRA
from runtime.errors import Faults, list_names
from runtime.plural import number_of

GROUP_SEPARATOR = ":"
PUNCTUATION = re.compile(r"[\W_]+")
THOUSANDS = re.compile(r"(?<=\d)[,'](?=\d{3}(?!\d))")  # 1,000 may be 1000
LARGEST_SHARE = 0.2  # of the rows of a table or fold, above which a patient is named
MOST_SHOWN = 3


def settle_patients(
    parts: Mapping[str, pd.DataFrame], faults: Faults, notes: list[str], metadata: Iterable[str] = ()
) -> dict[str, pd.DataFrame]:
    """Return ``parts`` (role -> cases) in which patient_id is one spelling per patient and is never missing.

    All parts are read together. A missing patient is that of another row with the same lesion_id, else the lesion, else
    the case itself; the column lesion_id is left out unless it is in ``metadata``. External patients have the prefix
    ``extra:`` unless they are patients of train; external cases of test patients are left out. ``notes`` collects what
    is merged or left out, ``faults`` the patients in both train and test.
    """
    people = _identities({role: part.drop_duplicates("patient_id") for role, part in parts.items()})
    people = people.assign(key=patient_keys(people["patient_id"]), spelling=people["patient_id"])
    if EXTRA not in parts and _is_one_spelling_each(people):  # nearly always, and faster
        _check(people, faults, notes)
        return {role: _without_lesion(part, metadata) for role, part in parts.items()}
    rows = _identities(parts)
    blank_fillers(rows, notes)
    rows = rows.assign(key=patient_keys(rows["patient_id"]), spelling=rows["patient_id"])
    _fill_missing(rows)
    _note_spellings(rows, notes)
    patients = _check(rows, faults, notes)
    _note_external_cases(rows, patients, notes)
    rows["patient"] = rows["key"].map(_first_spelling(rows)).astype(object)
    rows["is_left_out"] = False
    external = rows[rows["role"] == EXTRA]
    others = external.index[~external["key"].isin(patients["train"] | patients["test"])]
    rows.loc[others, "patient"] = EXTRA + GROUP_SEPARATOR + rows.loc[others, "patient"]
    rows.loc[external.index, "is_left_out"] = external["key"].isin(patients["test"])
    return {role: _with_patients(part, rows[rows["role"] == role], metadata) for role, part in parts.items()}


def _is_one_spelling_each(people: pd.DataFrame) -> bool:
    """Return whether every patient has one spelling, none is missing, and none can be a filler."""
    pairs = people[["key", "spelling"]].drop_duplicates()
    has_filler = pairs["key"].map(FILLER.fullmatch, na_action="ignore").notna().any()
    return bool(pairs["key"].notna().all() and pairs["key"].is_unique and not has_filler)


def _check(rows: pd.DataFrame, faults: Faults, notes: list[str]) -> dict[str, set[str]]:
    """Return role -> the keys of its patients; warn of twins, and add a fault for patients of both train and test."""
    patients = {role: set(rows.loc[rows["role"] == role, "key"]) for role in ("train", "test")}
    _warn_of_twins(rows, notes)
    _check_overlap(rows, patients["train"] & patients["test"], faults)
    return patients


def _with_patients(part: pd.DataFrame, rows: pd.DataFrame, metadata: Iterable[str]) -> pd.DataFrame:
    part = part.assign(patient_id=rows["patient"].to_numpy(dtype=object))
    return _without_lesion(part, metadata)[~rows["is_left_out"].to_numpy(dtype=bool)]


def _without_lesion(part: pd.DataFrame, metadata: Iterable[str]) -> pd.DataFrame:
    return part if LESION in set(metadata) else part.drop(columns=LESION, errors="ignore")


def _identities(parts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of all ``parts`` with the columns name, patient_id, lesion_id, source and role."""
    return pd.concat([_identities_of(part, role) for role, part in parts.items()], ignore_index=True)


def _identities_of(part: pd.DataFrame, role: str) -> pd.DataFrame:
    """Return the rows of ``part`` with the columns name, patient_id, lesion_id, source and role."""
    columns = {"name": part.index, "role": role}
    columns |= {name: part.get(name) for name in ("patient_id", LESION, "source")}
    values = {name: np.asarray(column, dtype=object) for name, column in columns.items() if column is not None}
    return pd.DataFrame(values, columns=["name", "patient_id", "lesion_id", "source", "role"], dtype=object)


def _fill_missing(rows: pd.DataFrame) -> None:
    """Give rows without a patient the key of another row with the same lesion, else that of the lesion or the case.

    Their spelling is the id of the lesion or case, with a prefix if a patient has this id.
    """
    missing = rows.index[rows["key"].isna()]
    if missing.empty:
        return
    lesions = pd.Series(patient_keys(rows["lesion_id"]), index=rows.index, dtype=object)
    patient_ids = rows.loc[rows["key"].notna(), "key"]
    names, has_lesion = rows.loc[missing, "name"], lesions[missing].notna()
    ids = names.where(~has_lesion, rows.loc[missing, "lesion_id"])
    nouns = has_lesion.map({True: "lesion", False: "case"})
    # An id never holds the character NUL, so the key of a lesion or case is never that of a patient.
    rows.loc[missing, "key"] = _patients_of_lesions(rows, lesions).fillna("\0" + nouns + lesions[missing].fillna(names))
    is_patient = np.isin(patient_keys(ids), patient_ids.unique())
    rows.loc[missing, "spelling"] = ids.where(~is_patient, nouns + GROUP_SEPARATOR + ids)


def _patients_of_lesions(rows: pd.DataFrame, lesions: pd.Series) -> pd.Series:
    """Return for the rows without a patient the key of another row's patient with the same lesion, NaN without one.

    External folders do not decide on the patients of train and test.
    """
    missing, is_own = rows["key"].isna(), rows["role"] != EXTRA
    of_own, of_all = (part["key"].dropna().groupby(lesions).first() for part in (rows[is_own], rows))
    keys = lesions.map(of_own)
    return keys.where(is_own | keys.notna(), lesions.map(of_all))[missing]


def _first_spelling(rows: pd.DataFrame) -> pd.Series:
    """Return key -> the first spelling of its patient, of a row with a patient_id if there is one."""
    has_patient, columns = rows["patient_id"].notna(), ["key", "spelling"]
    parts = [rows.loc[mask, columns].drop_duplicates("key") for mask in (has_patient, ~has_patient)]
    return pd.concat(parts).drop_duplicates("key").set_index("key")["spelling"]


def _note_spellings(rows: pd.DataFrame, notes: list[str]) -> None:
    spellings = rows.loc[rows["patient_id"].notna(), ["key", "patient_id"]]
    pairs = spellings.drop_duplicates()
    several = pairs[pairs["key"].duplicated(keep=False)].groupby("key", sort=False)["patient_id"].agg(list)
    if len(several):
        count = int(spellings["key"].isin(several.index).sum())
        notes.append(
            f"patient_id: {number_of(len(several), 'patient')} in several spellings, each read as one patient, in "
            f"{number_of(count, 'row')}: {_list_spellings(several)}"
        )


def _warn_of_twins(rows: pd.DataFrame, notes: list[str]) -> None:
    """Warn of ids of train or test that differ from another id only in leading zeros or punctuation."""
    ids = rows.loc[rows["patient_id"].notna(), ["key", "patient_id", "role"]].drop_duplicates("key")
    ids["twin_key"] = of_unique(ids["key"], _twin_key)
    ids = ids[ids["twin_key"].duplicated(keep=False)]
    own_keys = ids.loc[ids["role"] != EXTRA, "twin_key"]
    twins = ids[ids["twin_key"].isin(own_keys)].groupby("twin_key", sort=False)["patient_id"].agg(list)
    if len(twins):
        count = number_of(int(twins.map(len).sum()), "id")
        rule = "that differ only in leading zeros or punctuation are different patients"
        notes.append(
            warning(f"patient_id: {count} {rule}: {_list_spellings(twins)}; if they are one, use one spelling")
        )


def _twin_key(key: object) -> str:
    """Return an id without punctuation and leading zeros; punctuation between two digits becomes a blank."""
    plain = PUNCTUATION.sub(" ", THOUSANDS.sub("", str(key))).strip()
    plain = re.sub(r"(?<!\d) | (?!\d)", "", plain)
    return re.sub(r"\d+", lambda digits: digits[0].lstrip("0") or "0", plain)


def _list_spellings(groups: pd.Series) -> str:
    texts = [" and ".join(repr(text) for text in spellings) for spellings in groups.head(MOST_SHOWN)]
    return ", ".join(texts) + (", ..." if len(groups) > MOST_SHOWN else "")


def _check_overlap(rows: pd.DataFrame, both: set[str], faults: Faults) -> None:
    """Add a fault that names the patients with the keys ``both``, each as it is written in train and in test."""
    if not both:
        return
    spelling = {role: _first_spelling(part) for role, part in rows.groupby("role")}
    pairs = {key: [str(spelling[role][key]) for role in ("train", "test")] for key in sorted(both)}
    texts = [train if train == test else f"{train!r} in train, {test!r} in test" for train, test in pairs.values()]
    faults.add(f"a patient must not be in both train and test; found {list_names(texts)}")


def _note_external_cases(rows: pd.DataFrame, patients: Mapping[str, set[str]], notes: list[str]) -> None:
    external = rows[rows["role"] == EXTRA]
    for role, action in (
        ("train", "left out of the training of the fold in which their patient is validated"),
        ("test", "left out because their patient is predicted"),
    ):
        cases = external[external["key"].isin(patients[role])]
        if len(cases):
            owners = number_of(cases["key"].nunique(), f"patient of {role}", f"patients of {role}")
            notes.append(f"extra: {number_of(len(cases), 'case')} of {owners}, {action}: {list_names(cases['name'])}")


def large_shares(patients: pd.Series) -> pd.Series:
    """Return patient -> share of the rows, of those with over a fifth and at least twice the average share."""
    shares = patients.value_counts(normalize=True)
    return shares[shares.gt(LARGEST_SHARE) & shares.ge(2 / max(len(shares), 1))]


def list_twins(keys: Iterable[object]) -> str:
    """Return the different ``keys`` that differ only in leading zeros or punctuation, as a message lists them."""
    ids = pd.Series(np.asarray(keys, dtype=object), dtype=object)
    twin_keys = pd.Series(of_unique(ids, _twin_key), index=ids.index, dtype=object)
    return _list_spellings(ids[twin_keys.duplicated(keep=False)].groupby(twin_keys, sort=False).agg(list))


def large_patients(cases: pd.DataFrame) -> list[str]:
    """Return a warning that names the patients who hold over a fifth of the rows of train, test or a fold; [] if none.

    Where there are few patients, each holds a large share: named are those with at least twice the average share.
    """
    train = cases[cases["role"] == "train"]
    tables = {"train": train, "test": cases[cases["role"] == "test"]}
    tables |= {f"fold {fold}": part for fold, part in train.groupby("fold")}
    sentences = dict[str, str]()
    for name, part in tables.items():
        large = large_shares(part["patient_id"])
        texts = {str(who): f"{str(who)!r} holds {share:.0%} of the rows of {name}" for who, share in large.items()}
        sentences |= {who: text for who, text in texts.items() if who not in sentences}
    rest = len(sentences) - MOST_SHOWN
    more = f", and {rest} more" if rest > 0 else ""
    examples, advice = ", ".join(list(sentences.values())[:MOST_SHOWN]), "check that patient_id is the id of a person"
    return [warning(f"patients with many rows: {examples}{more}; {advice}")] if sentences else []
