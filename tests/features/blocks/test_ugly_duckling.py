"""Tests of the ugly-duckling block: which lesions differ from the others of their patient."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from features.blocks import Sources, build_block
from features.blocks.ugly_duckling import NEUTRAL, within_patient
from runtime.errors import InputFault


def sources_of(embeddings: np.ndarray, names: list[str]) -> Sources:
    columns = [f"e{number:04d}" for number in range(embeddings.shape[1])]
    frame = pd.DataFrame(embeddings.astype(np.float16), index=pd.Index(names, name="image_name"), columns=columns)
    return Sources(embeddings={"net": lambda: frame})


def patients(*ids: str) -> pd.DataFrame:
    index = pd.Index([f"c{number}" for number in range(len(ids))], name="image_name")
    return pd.DataFrame({"patient_id": list(ids)}, index=index)


def test_an_outlier_is_farthest_by_every_measure():
    embeddings = np.random.default_rng(0).normal(1, 0.1, (12, 40))
    embeddings[4] = -1
    values = within_patient(embeddings)

    assert (values.argmax(axis=0) == 4).all()
    assert values[4, 3] == 1
    assert values[4, 2] > 3
    assert np.delete(values[:, 2], 4).max() < 1.5


def test_the_centre_does_not_include_the_case_itself():
    # Distances from the mean of the other two: 6, 4.5 and 7.5 along a line.
    values = within_patient(np.array([[0.0, 1], [1, 1], [-8, 1]]))
    distances = [abs(0 - -3.5), abs(1 - -4.0), abs(-8 - 0.5)]

    assert values[:, 0] == pytest.approx(np.array(distances) / np.median(distances))
    assert values[:, 3].tolist() == [0, 0.5, 1]
    assert values[1, 1] == pytest.approx(1 - (1 * -4 + 1) / np.sqrt(2 * 17))


def test_a_single_picture_and_identical_pictures_are_neutral():
    sources = sources_of(np.array([[1.0, 2], [0.1, 0.7], [0.1, 0.7], [0.1, 0.7]]), ["c0", "c1", "c2", "c3"])
    frame = build_block("ugly_duckling", patients("p", "q", "q", "q"), sources)

    assert frame.columns.tolist() == [f"net_{name}" for name in NEUTRAL]
    assert (frame.to_numpy() == list(NEUTRAL.values())).all()


def test_duplicates_within_a_patient_leave_the_outlier_factor_moderate():
    embeddings = np.zeros((8, 5))
    embeddings[7] = 3

    assert within_patient(embeddings)[7, 2] == within_patient(embeddings)[:, 2].max() < 100


@settings(max_examples=50)
@given(arrays(np.float16, st.tuples(st.integers(2, 14), st.integers(1, 6)), elements=st.floats(-60, 60, width=16)))
def test_the_values_are_finite_and_within_their_ranges(embeddings: np.ndarray):
    ratio, cosine, factor, rank = within_patient(embeddings.astype(np.float64)).T

    assert np.isfinite([ratio, cosine, factor, rank]).all()
    assert ratio.min() >= 0
    assert ((cosine >= -1e-9) & (cosine <= 2 + 1e-9)).all()
    assert factor.min() > 0
    assert rank.mean() == pytest.approx(0.5)


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.floats(0.01, 100))
def test_the_unit_of_the_embeddings_does_not_matter(seed: int, unit: float):
    embeddings = np.random.default_rng(seed).normal(0, 1, (9, 7))

    np.testing.assert_allclose(within_patient(unit * embeddings), within_patient(embeddings), rtol=1e-6)


def test_another_patient_with_wild_embeddings_changes_nothing():
    rng = np.random.default_rng(1)
    embeddings = rng.normal(0, 1, (10, 6))
    ids = patients(*"pppppqqqqq")
    calm = build_block("ugly_duckling", ids, sources_of(embeddings, list(ids.index)))
    embeddings[5:] = rng.normal(30, 50, (5, 6))
    wild = build_block("ugly_duckling", ids, sources_of(embeddings, list(ids.index)))

    assert calm[:5].equals(wild[:5])
    assert not calm[5:].equals(wild[5:])


def test_a_case_without_embedding_is_refused_by_name():
    sources = sources_of(np.ones((2, 3)), ["c0", "c9"])

    with pytest.raises(InputFault, match=r"net: 3 cases need embeddings; missing for 2 \(c1, c2\)"):
        build_block("ugly_duckling", patients("p", "p", "q"), sources)


def test_an_embedding_that_is_not_a_number_is_refused_by_name():
    sources = sources_of(np.array([[1.0, 2], [np.nan, 0]]), ["c0", "c1"])

    with pytest.raises(InputFault, match=r"must be finite numbers; they are not for 1 \(c1\)"):
        build_block("ugly_duckling", patients("p", "p"), sources)
