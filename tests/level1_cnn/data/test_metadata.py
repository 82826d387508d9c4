"""Tests for metadata.py: every row is encoded independently of the others, from age, sex and site only."""

import numpy as np
import pandas as pd
import pytest

from level1_cnn.data.metadata import COLUMNS, encode_metadata
from runtime.errors import InputFault

SITE = "anatom_site_general_challenge"


def case(**values: object) -> pd.DataFrame:
    return pd.DataFrame([values], index=pd.Index(["case"], name="image_name"))


def meaning(row: np.ndarray) -> dict[str, float]:
    """Return the columns that are not zero."""
    return {name: float(value) for name, value in zip(COLUMNS, row, strict=True) if value}


def table() -> pd.DataFrame:
    columns = {
        "sex": ["male", "female", None, "male"],
        "age_approx": [45.0, np.nan, 90.0, 5.0],
        SITE: ["torso", "head/neck", None, "palms/soles"],
        "target": [1.0, 0.0, 0.0, np.nan],
        "fold": [0, 1, 2, -1],
        "diagnosis": ["melanoma", "nevus", "unknown", None],
        "benign_malignant": ["malignant", "benign", "benign", None],
        "patient_id": ["a", "b", "b", "c"],
    }
    return pd.DataFrame(columns, index=list("pqrs"))


def test_a_case_is_encoded_as_sex_age_and_site() -> None:
    rows = encode_metadata(table())
    assert (rows.dtype, rows.shape) == (np.float32, (4, len(COLUMNS)))
    assert meaning(rows[0]) == {"sex: male": 1, "age / 90": 0.5, "site: torso": 1}
    assert meaning(rows[1]) == {"sex: female": 1, "age: missing": 1, "site: head/neck": 1}
    assert meaning(rows[2]) == {"sex: missing": 1, "age / 90": 1, "site: missing": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("torso", "torso"),
        ("anterior torso", "torso"),
        ("Posterior Torso", "torso"),
        ("lateral torso", "torso"),
        ("head/neck", "head/neck"),
        ("head / neck", "head/neck"),
        ("upper extremity", "upper extremity"),
        ("lower extremity", "lower extremity"),
        ("palms/soles", "palms/soles"),
        ("oral/genital", "oral/genital"),
        ("scalp", "head/neck"),
        ("somewhere else", "other"),
        ("unknown", "missing"),
        ("", "missing"),
        (None, "missing"),
    ],
)
def test_all_spellings_of_a_site_share_one_column(text, expected) -> None:
    row = meaning(encode_metadata(case(**{SITE: text}))[0])
    assert [name for name in row if name.startswith("site")] == [f"site: {expected}"]


@pytest.mark.parametrize(("years", "expected"), [(0, 0), (45, 0.5), (90, 1), (120, 1), (-5, 0), ("30", 1 / 3)])
def test_age_is_a_share_of_ninety_years_and_clipped(years, expected) -> None:
    row = encode_metadata(case(age_approx=years))[0]
    assert row[COLUMNS.index("age / 90")] == pytest.approx(expected)
    assert row[COLUMNS.index("age: missing")] == 0


def test_columns_that_do_not_exist_are_missing_in_every_case() -> None:
    rows = encode_metadata(pd.DataFrame(index=["a", "b"]))
    assert meaning(rows[0]) == meaning(rows[1]) == {"sex: missing": 1, "age: missing": 1, "site: missing": 1}


def test_a_table_without_cases_gives_no_rows() -> None:
    assert encode_metadata(table().iloc[:0]).shape == (0, len(COLUMNS))


def test_the_encoding_of_a_row_does_not_depend_on_the_other_rows() -> None:
    whole = encode_metadata(table())
    backwards = encode_metadata(table().iloc[::-1])
    np.testing.assert_array_equal(backwards[::-1], whole)
    for number in range(len(whole)):
        np.testing.assert_array_equal(encode_metadata(table().iloc[[number]])[0], whole[number])


@pytest.mark.parametrize("label", ["target", "fold", "diagnosis", "benign_malignant", "patient_id"])
def test_labels_do_not_change_the_encoding(label) -> None:
    cases = table()
    permutation = cases.assign(**{label: cases[label].to_numpy()[[2, 3, 1, 0]]})
    expected = encode_metadata(cases)
    np.testing.assert_array_equal(encode_metadata(permutation), expected)
    np.testing.assert_array_equal(encode_metadata(cases.drop(columns=label)), expected)


def test_column_names_of_other_contests_are_read() -> None:
    row = encode_metadata(case(sex="F", age=45, anatom_site_general="posterior torso"))[0]
    assert meaning(row) == {"sex: female": 1, "age / 90": 0.5, "site: torso": 1}


@pytest.mark.parametrize("sex", ["other", "diverse", "mäle"])
def test_a_sex_that_is_neither_female_nor_male_is_encoded_as_missing(sex: str) -> None:
    assert meaning(encode_metadata(case(sex=sex))[0])["sex: missing"] == 1


def test_an_age_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(InputFault, match=r"not a number of years in 1 \(case\)"):
        encode_metadata(case(age_approx="forty"))
