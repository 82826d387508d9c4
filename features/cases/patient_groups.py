"""The patient of every case, by one rule in train, test, external and new cases."""

import re
from collections.abc import Iterable, Mapping

import pandas as pd

from features.cases.patients import Keys, blank_fillers, of_unique, patient_keys
from features.folder.layout import LESION
from features.folder.notes import warning
from features.folder.picture_locations import EXTRA
from runtime.errors import Faults, list_names
from runtime.plural import number_of

GROUP_SEPARATOR = ":"
PUNCTUATION = re.compile(r"[\W_]+")
LARGEST_SHARE = 0.2  # of the rows of a table or fold, above which a patient is named
LESION_KEY, CASE_KEY = "\0lesion ", "\0case "  # no id holds this character, so no patient has such a key
NOUNS = {"lesion_id": "lesion", "name": "case"}
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
    rows = pd.concat([_identities(part, role) for role, part in parts.items()], ignore_index=True)
    blank_fillers(rows, notes)
    rows["key"] = _keys_with_lesions(rows, patient_keys(rows["patient_id"]))
    rows["key"] = rows["key"].fillna(CASE_KEY + rows["name"])
    rows["spelling"] = _spellings(rows)
    keys = {role: set(part["key"]) for role, part in rows.groupby("role")}
    _note_spellings(rows, notes)
    _warn_of_twins(rows, notes)
    _check_overlap(rows, keys, faults)
    own_keys = keys.get("train", set()) | keys.get("test", set())
    patients = rows["key"].map(_first_spelling(rows))
    is_alone = (rows["role"] == EXTRA) & ~rows["key"].isin(own_keys)
    rows["patient"] = patients.mask(is_alone, EXTRA + GROUP_SEPARATOR + patients)
    _note_external_cases(rows, keys, notes)
    is_left_out = (rows["role"] == EXTRA) & rows["key"].isin(keys.get("test", set()))
    return {
        role: _with_patients(part, rows[rows["role"] == role], is_left_out, metadata) for role, part in parts.items()
    }


def _with_patients(
    part: pd.DataFrame, rows: pd.DataFrame, is_left_out: pd.Series, metadata: Iterable[str]
) -> pd.DataFrame:
    part = part.assign(patient_id=rows["patient"].to_numpy(dtype=object))[~is_left_out[rows.index].to_numpy()]
    return part.drop(columns=[LESION for name in (LESION,) if name in part and name not in set(metadata)])


def _identities(part: pd.DataFrame, role: str) -> pd.DataFrame:
    columns = ("patient_id", LESION, "source")
    given = {name: part[name].to_numpy(dtype=object) if name in part else None for name in columns}
    rows = pd.DataFrame({"name": part.index.to_numpy(dtype=object), **given}, dtype=object)
    return rows.rename(columns={LESION: "lesion_id"}).assign(role=role)


def _keys_with_lesions(rows: pd.DataFrame, keys: Keys) -> pd.Series:
    """Return ``keys`` with the missing ones replaced by the patient of the same lesion, else by the lesion."""
    result = pd.Series(keys, index=rows.index, dtype=object)
    lesions = pd.Series(patient_keys(rows["lesion_id"]), index=rows.index, dtype=object)
    has_both = result.notna() & lesions.notna()
    patient_of = result[has_both].groupby(lesions[has_both]).first()
    return result.fillna(lesions.map(patient_of)).fillna(LESION_KEY + lesions)


def _spellings(rows: pd.DataFrame) -> pd.Series:
    """Return what the case table says for every row alone: its patient, else its lesion, else its case.

    A lesion or case that has the id of a patient gets a prefix.
    """
    result = rows["patient_id"].copy()
    patients = set(rows.loc[rows["patient_id"].notna(), "key"])
    for column in ("lesion_id", "name"):
        is_patient = pd.Series(patient_keys(rows[column]), index=rows.index, dtype=object).isin(patients)
        result = result.fillna(rows[column].mask(is_patient, f"{NOUNS[column]}{GROUP_SEPARATOR}" + rows[column]))
    return result


def _first_spelling(rows: pd.DataFrame) -> pd.Series:
    """Return key -> the first spelling of its patient, of a row with a patient_id if there is one."""
    has_patient = rows["patient_id"].notna()
    return pd.concat([rows[has_patient], rows[~has_patient]]).drop_duplicates("key").set_index("key")["spelling"]


def _note_spellings(rows: pd.DataFrame, notes: list[str]) -> None:
    spellings = rows.loc[rows["patient_id"].notna(), ["key", "patient_id"]]
    several = spellings.drop_duplicates().groupby("key", sort=False)["patient_id"].agg(list)
    several = several[several.map(len) > 1]
    if len(several):
        count = int(spellings["key"].isin(several.index).sum())
        notes.append(
            f"patient_id: {number_of(len(several), 'patient')} in several spellings, each read as one patient, in "
            f"{number_of(count, 'row')}: {_list_spellings(several)}"
        )


def _warn_of_twins(rows: pd.DataFrame, notes: list[str]) -> None:
    """Warn of ids of train or test that differ from another id only in leading zeros or punctuation."""
    ids = rows.loc[rows["patient_id"].notna(), ["key", "patient_id", "role"]].drop_duplicates("key")
    if ids.empty:
        return
    groups = ids.groupby(of_unique(ids["key"], _twin_key), sort=False)
    twins = groups["patient_id"].agg(list)[
        groups.size().gt(1) & groups["role"].agg(lambda roles: set(roles) != {EXTRA})
    ]
    if len(twins):
        notes.append(
            warning(
                f"patient_id: {number_of(int(twins.map(len).sum()), 'id')} that differ only in leading zeros or "
                f"punctuation are read as different patients: {_list_spellings(twins)}; if they are one, use one spelling"
            )
        )


def _twin_key(key: object) -> str:
    """Return an id without punctuation and leading zeros; punctuation between two digits becomes a blank."""
    plain = PUNCTUATION.sub(" ", str(key)).strip()
    plain = re.sub(r"(?<!\d) | (?!\d)", "", plain)
    return re.sub(r"\d+", lambda digits: digits[0].lstrip("0") or "0", plain)


def _list_spellings(groups: pd.Series) -> str:
    texts = [" and ".join(repr(text) for text in spellings) for spellings in groups.head(MOST_SHOWN)]
    return ", ".join(texts) + (", ..." if len(groups) > MOST_SHOWN else "")


def _check_overlap(rows: pd.DataFrame, keys: Mapping[str, set[str]], faults: Faults) -> None:
    both = keys.get("train", set()) & keys.get("test", set())
    if not both:
        return
    spelling = {role: _first_spelling(part) for role, part in rows.groupby("role")}
    pairs = {key: [str(spelling[role][key]) for role in ("train", "test")] for key in sorted(both)}
    texts = [train if train == test else f"{train!r} in train, {test!r} in test" for train, test in pairs.values()]
    faults.add(f"a patient must not be in both train and test; found {list_names(texts)}")


def _note_external_cases(rows: pd.DataFrame, keys: Mapping[str, set[str]], notes: list[str]) -> None:
    external = rows[rows["role"] == EXTRA]
    for role, action in (
        ("train", "are left out of the training of the fold in which their patient is validated"),
        ("test", "are left out, since their patient is predicted"),
    ):
        cases = external[external["key"].isin(keys.get(role, set()))]
        if len(cases):
            patients = number_of(cases["key"].nunique(), f"patient of {role}", f"patients of {role}")
            notes.append(f"extra: {number_of(len(cases), 'case')} of {patients} {action}: {list_names(cases['name'])}")


def large_patients(cases: pd.DataFrame) -> list[str]:
    """Return a warning that names the patients who hold over a fifth of the rows of train, test or a fold; [] if none.

    Where there are few patients, each holds a large share: named are those with at least twice the average share.
    """
    train = cases[cases["role"] == "train"]
    tables = {"train": train, "test": cases[cases["role"] == "test"]}
    tables |= {f"fold {fold}": part for fold, part in train.groupby("fold")}
    texts = list[str]()
    named = set[str]()
    for name, part in tables.items():
        shares = part["patient_id"].value_counts(normalize=True)
        for patient, share in shares[shares.gt(LARGEST_SHARE) & shares.ge(2 / max(len(shares), 1))].items():
            if str(patient) not in named:
                texts.append(f"{str(patient)!r} holds {share:.0%} of the rows of {name}")
            named.add(str(patient))
    more = f", and {len(texts) - MOST_SHOWN} more" if len(texts) > MOST_SHOWN else ""
    advice = "check that patient_id is the id of a person"
    return [warning(f"patients with many rows: {', '.join(texts[:MOST_SHOWN])}{more}; {advice}")] if texts else []
