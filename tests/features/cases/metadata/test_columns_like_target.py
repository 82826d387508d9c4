"""Tests of the columns that follow the target or hold ids: which are found, and which innocent ones stay."""

import numpy as np
import pandas as pd
import pytest

from features.cases.metadata.columns_like_target import chance, constant_columns, id_columns, target_columns

SIZES = (200, 20_000)
SHARES = {200: 0.2, 20_000: 0.02}


def cohort(rows: int) -> tuple[pd.Series, pd.Series, np.random.Generator]:
    """Return the targets, the patients (four rows each) and random numbers of a cohort."""
    random = np.random.default_rng(rows)
    target = pd.Series((np.arange(rows) < SHARES[rows] * rows).astype(float)).sample(frac=1, random_state=1)
    return target.reset_index(drop=True), pd.Series([f"p{row // 4}" for row in range(rows)]), random


def reasons(columns: dict[str, object], target: pd.Series, patients: pd.Series) -> dict[str, str]:
    return target_columns(pd.DataFrame(columns), target, patients)


@pytest.mark.parametrize("rows", SIZES)
def test_columns_that_follow_the_target_are_found_with_a_figure(rows: int) -> None:
    target, patients, random = cohort(rows)
    malignant, noise = target == 1, random.random(rows)
    columns = {
        "copy": target,
        "opposite": 1 - target,
        "word": np.where(malignant, "suspicious", "harmless"),
        "grade": np.where(malignant, 4.0, 1.0) + noise,
        "code": np.where(malignant, random.choice(["C43", "C44"], rows), random.choice(["D22", "D23", "L82"], rows)),
        "thickness": np.where(malignant & (noise < 0.5), noise, np.nan),
        "kind": np.where(~malignant & (noise < 0.6), "common", None),
        "reviewed": np.where(malignant | (noise < 0.02), noise, np.nan),
        "watched": pd.Series(noise.round(1)).where(~malignant | (noise < 0.01)),
    }
    result = reasons(columns, target, patients)
    assert list(result) == list(columns)
    assert result["copy"] == result["opposite"] == result["word"] == "equals the target in every row"
    assert result["grade"].startswith("one rule (malignant above ")
    assert result["code"].endswith("is right in 100% of malignant and 100% of benign rows")
    assert result["thickness"].startswith("filled in ")
    assert result["kind"].startswith("filled in 0.0% of malignant and ")
    assert result["watched"].startswith(
        ("filled in 0.0% of malignant", "filled in 2.5% of malignant", "filled in 0.8%")
    )


@pytest.mark.parametrize("rows", SIZES)
def test_honest_columns_stay(rows: int) -> None:
    target, patients, random = cohort(rows)
    malignant, noise = target == 1, random.random(rows)
    columns = {
        "age": 45 + 12 * random.normal(size=rows) + 18 * malignant,
        "site": np.where(noise < 0.3 + 0.3 * malignant, "torso", "leg"),
        "sometimes_missing": pd.Series(noise).where(noise > np.where(malignant, 0.05, 0.15)),
        "never_missing_if_malignant": pd.Series(noise).where(malignant | (noise > 0.3)),
        "rarely_filled": pd.Series(noise).where(noise < np.where(malignant, 0.3, 0.1)),
        "strong": random.normal(size=rows) + 2.5 * malignant,
        "rare_flag": (~malignant & (noise < 0.04)).astype(int),
        "hospital": [f"h{number}" for number in random.integers(0, 40, rows)],
        "empty": None,
        "constant": "CC-BY",
    }
    assert reasons(columns, target, patients) == {}


@pytest.mark.parametrize("rows", SIZES)
def test_noise_never_looks_like_the_target(rows: int) -> None:
    target, patients, random = cohort(rows)
    texts = {f"text{i}": random.choice(list("abcdefghij"), rows) for i in range(50)}
    numbers = {f"number{i}": np.where(random.random(rows) < 0.5, random.normal(size=rows), np.nan) for i in range(50)}
    assert reasons(texts | numbers, target, patients) == {}


@pytest.mark.parametrize("rows", SIZES)
def test_the_classes_of_a_one_hot_table_are_found_and_other_flags_stay(rows: int) -> None:
    target, patients, random = cohort(rows)
    classes = np.where(target == 1, "melanoma", random.choice(["a", "b", "c"], rows, p=[0.7, 0.25, 0.05]))
    one_hot: dict[str, object] = {name: (classes == name).astype(float) for name in "abc"}
    flags = {"itches": random.integers(0, 2, rows), "female": random.choice(["True", "False"], rows)}
    assert set(reasons(one_hot | flags, target, patients)) == set("abc")
    words = {name: np.where(classes == name, "X", "0") for name in "abc"}
    assert set(reasons(words | flags, target, patients)) == set("abc")
    sites = random.choice(list("xyz"), rows)
    assert reasons({name: (sites == name).astype(int) for name in "xyz"}, target, patients) == {}


def test_few_rows_prove_nothing() -> None:
    target, patients = pd.Series([0.0, 1, 0, 1, 1, 0]), pd.Series(list("aabbcd"))
    assert reasons({"sex": ["f", "m", "f", "m", "m", "f"], "size": target * 3}, target, patients) == {}


def test_a_text_per_patient_is_judged_by_the_other_patients() -> None:
    target = pd.Series(np.repeat([0.0, 1.0], 40))
    patients = pd.Series(np.repeat([f"p{i}" for i in range(20)], 4))
    assert reasons({"batch": patients.map(lambda name: f"batch {name}")}, target, patients) == {}
    assert set(reasons({"ward": np.where(target == 1, "oncology", "screening")}, target, patients)) == {"ward"}


def test_missing_targets_and_patients_and_a_single_class_are_no_obstacle() -> None:
    target = pd.Series([np.nan, *[0.0, 1.0] * 20])
    patients = pd.Series([None] * 41, dtype=object)
    assert set(reasons({"copy": target.fillna(1)}, target, patients)) == {"copy"}
    assert reasons({"copy": target.fillna(1)}, pd.Series([1.0] * 41), patients) == {}


@pytest.mark.parametrize("rows", SIZES)
def test_ids_and_row_numbers_are_found_and_measurements_stay(rows: int) -> None:
    random = np.random.default_rng(0)
    columns = {
        "file": [f"scan{number}.jpg" for number in range(rows)],
        "remark": np.where(np.arange(rows) % 3 > 0, [f"seen on day {number}" for number in range(rows)], None),
        "row": np.arange(rows)[::-1] + 7.0,
        "length": random.normal(size=rows),
        "age": random.integers(0, 90, rows),
        "bytes": random.choice(10_000_000, rows, replace=False),
        "site": random.choice(["leg", "arm", None], rows),
        "flag": random.random(rows) < 0.5,
    }
    patients = pd.Series([f"p{number // 4}" for number in range(rows)])
    assert set(id_columns(pd.DataFrame(columns), patients)) == {"file", "remark", "row"}
    assert id_columns(pd.DataFrame(columns).head(15), patients.head(15)) == {}


def test_a_text_that_only_one_patient_has_is_an_id() -> None:
    rows = np.arange(120)
    patients = pd.Series([f"p{number}" for number in rows // 4])
    columns = {"mole": [f"L{number}" for number in rows // 2], "room": [f"R{number}" for number in rows // 20]}
    assert id_columns(pd.DataFrame(columns), patients) == {"mole": "each value has one patient"}
    assert id_columns(pd.DataFrame(columns), pd.Series(rows)) == {}


def test_a_constant_is_said_for_texts_of_enough_rows() -> None:
    table = pd.DataFrame({"licence": "CC-0", "number": 1.0, "partly": ["CC-0"] * 29 + [None]})
    assert constant_columns(table) == ["licence"]
    assert constant_columns(table.head(5)) == []


def test_the_chance_is_that_of_the_hypergeometric_distribution() -> None:
    assert chance(20, 10, 10, 0) == pytest.approx(1 / 184_756)
    assert chance(10, 3, 4, 1) == pytest.approx((20 + 60) / 120)
    assert chance(10, 8, 6, 6) == 1
