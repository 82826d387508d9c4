"""Within-patient contrasts: values of small tables, and no effect of row order or other patients."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from level2_stack.contrasts import FAMILIES, STD_FLOOR, contrasts

VALUE = st.one_of(st.just(float("nan")), st.floats(-14, 14))
ROWS = st.lists(st.tuples(st.sampled_from("pqr"), VALUE, VALUE), min_size=1, max_size=12)


def table(rows):
    index = pd.Index([f"case_{i:02d}" for i in range(len(rows))], name="image_name")
    logits = pd.DataFrame([row[1:] for row in rows], index=index, columns=["a", "b"], dtype=float)
    return logits, pd.Series([row[0] for row in rows], index=index)


def test_contrasts_of_three_pictures_have_these_values():
    logits, patients = table([("p", 1.0, 0.0), ("p", 3.0, 0.0), ("p", 8.0, 0.0)])
    columns = contrasts(logits, patients)
    np.testing.assert_allclose(columns["level.a"], [4, 4, 4])
    np.testing.assert_allclose(columns["difference.a"], [-3, -1, 4])
    np.testing.assert_allclose(columns["zscore.a"], np.array([-3, -1, 4]) / np.sqrt(26 / 3))
    np.testing.assert_allclose(columns["rank.a"], [1 / 6, 1 / 2, 5 / 6])
    np.testing.assert_allclose(columns["rank.b"], [0.5, 0.5, 0.5])
    np.testing.assert_allclose(columns["difference.networks"], [-1.5, -0.5, 2])
    np.testing.assert_allclose(columns["disagreement.networks"], [0.5, 1.5, 4])


def test_contrasts_of_a_single_picture_are_neutral():
    columns = contrasts(*table([("p", -5.0, 2.0)])).iloc[0]
    assert columns.filter(regex=r"^(difference|zscore)\.").eq(0).all()
    assert columns.filter(regex=r"^rank\.").eq(0.5).all()


def test_noise_between_similar_pictures_is_not_amplified():
    columns = contrasts(*table([("p", 1.0, 0.0), ("p", 1.002, 0.0)]))
    np.testing.assert_allclose(columns["zscore.a"], np.array([-0.001, 0.001]) / STD_FLOOR)


def test_a_missing_prediction_stays_missing_and_does_not_change_other_rows():
    columns = contrasts(*table([("p", np.nan, 1.0), ("p", 2.0, 1.0), ("p", 4.0, 1.0)]))
    assert columns.filter(regex=r"\.a$").iloc[0].isna().all()
    np.testing.assert_allclose(columns["difference.a"].iloc[1:], [-1, 1])
    np.testing.assert_allclose(columns["rank.a"].iloc[1:], [0.25, 0.75])


def test_a_single_network_has_no_disagreement():
    logits, patients = table([("p", 1.0, 0.0), ("q", 3.0, 0.0)])
    columns = contrasts(logits[["a"]], patients)
    assert list(columns) == ["difference.a", "zscore.a", "rank.a", "level.a"]


@settings(max_examples=40)
@given(ROWS, st.randoms(use_true_random=False))
def test_row_order_does_not_matter(rows, random):
    logits, patients = table(rows)
    order = random.sample(range(len(rows)), len(rows))
    pd.testing.assert_frame_equal(
        contrasts(logits.iloc[order], patients.iloc[order]), contrasts(logits, patients).iloc[order], check_exact=True
    )


@settings(max_examples=40)
@given(ROWS, ROWS)
def test_contrasts_of_a_patient_do_not_depend_on_other_patients(rows, others):
    own = [("own", *row[1:]) for row in rows]
    together = contrasts(*table([*own, *others])).iloc[: len(own)]
    pd.testing.assert_frame_equal(together, contrasts(*table(own)), check_exact=True)


@settings(max_examples=40)
@given(ROWS)
def test_ranks_are_inside_0_and_1_and_zscores_have_the_sign_of_differences(rows):
    columns = contrasts(*table(rows))
    ranks = columns.filter(regex=r"^rank\.").stack()
    assert ranks.between(0, 1, inclusive="neither").all()
    for network in ("a", "b", "networks"):
        signs = np.sign(columns[[f"zscore.{network}", f"difference.{network}"]].dropna())
        assert signs.nunique(axis=1).le(1).all()


def test_shares_and_contrasts_within_the_site_have_these_values():
    logits, patients = table([("p", 0.0, 0.0), ("p", 2.0, 0.0), ("p", -1.0, 0.0), ("q", 1.0, 0.0)])
    sites = pd.Series(["arm", "leg", "arm", np.nan], index=logits.index)
    columns = contrasts(logits[["a"]], patients, sites, FAMILIES)
    np.testing.assert_allclose(columns["share.a"], [0.5 / expit(2), 1, expit(-1) / expit(2), 1])
    np.testing.assert_allclose(columns["site_difference.a"], [0.5, 0, -0.5, 0])
    np.testing.assert_allclose(columns["site_rank.a"], [0.75, 0.5, 0.25, 0.5])
    np.testing.assert_allclose(columns["site_share.a"], [1, 1, expit(-1) / expit(0), 1])


@settings(max_examples=40)
@given(ROWS)
def test_shares_are_between_0_and_1_and_the_largest_of_a_patient_is_1(rows):
    logits, patients = table(rows)
    share = contrasts(logits, patients, families=["share"])["share.a"]
    assert share.dropna().between(0, 1).all()
    assert share.groupby(patients).max().dropna().eq(1).all()
