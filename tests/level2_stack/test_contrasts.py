"""Within-patient contrasts against literal tables and their two invariances."""

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


def test_contrasts_of_three_pictures_are_these():
    logits, patients = table([("p", 1.0, 0.0), ("p", 3.0, 0.0), ("p", 8.0, 0.0)])
    found = contrasts(logits, patients)
    np.testing.assert_allclose(found["level.a"], [4, 4, 4])
    np.testing.assert_allclose(found["difference.a"], [-3, -1, 4])
    np.testing.assert_allclose(found["zscore.a"], np.array([-3, -1, 4]) / np.sqrt(26 / 3))
    np.testing.assert_allclose(found["rank.a"], [1 / 6, 1 / 2, 5 / 6])
    np.testing.assert_allclose(found["rank.b"], [0.5, 0.5, 0.5])
    np.testing.assert_allclose(found["difference.networks"], [-1.5, -0.5, 2])
    np.testing.assert_allclose(found["disagreement.networks"], [0.5, 1.5, 4])


def test_an_only_picture_stands_in_the_middle():
    found = contrasts(*table([("p", -5.0, 2.0)])).iloc[0]
    assert found.filter(regex=r"^(difference|zscore)\.").eq(0).all()
    assert found.filter(regex=r"^rank\.").eq(0.5).all()


def test_pictures_that_look_alike_do_not_magnify_noise():
    found = contrasts(*table([("p", 1.0, 0.0), ("p", 1.002, 0.0)]))
    np.testing.assert_allclose(found["zscore.a"], np.array([-0.001, 0.001]) / STD_FLOOR)


def test_a_missing_prediction_stays_missing_and_leaves_the_others_alone():
    found = contrasts(*table([("p", np.nan, 1.0), ("p", 2.0, 1.0), ("p", 4.0, 1.0)]))
    assert found.filter(regex=r"\.a$").iloc[0].isna().all()
    np.testing.assert_allclose(found["difference.a"].iloc[1:], [-1, 1])
    np.testing.assert_allclose(found["rank.a"].iloc[1:], [0.25, 0.75])


def test_one_network_alone_has_nobody_to_disagree_with():
    logits, patients = table([("p", 1.0, 0.0), ("q", 3.0, 0.0)])
    found = contrasts(logits[["a"]], patients)
    assert list(found) == ["difference.a", "zscore.a", "rank.a", "level.a"]


@settings(max_examples=40, deadline=None)
@given(ROWS, st.randoms(use_true_random=False))
def test_row_order_does_not_matter(rows, random):
    logits, patients = table(rows)
    order = random.sample(range(len(rows)), len(rows))
    pd.testing.assert_frame_equal(
        contrasts(logits.iloc[order], patients.iloc[order]), contrasts(logits, patients).iloc[order], check_exact=True
    )


@settings(max_examples=40, deadline=None)
@given(ROWS, ROWS)
def test_a_patient_never_depends_on_another(rows, others):
    own = [("own", *row[1:]) for row in rows]
    together = contrasts(*table([*own, *others])).iloc[: len(own)]
    pd.testing.assert_frame_equal(together, contrasts(*table(own)), check_exact=True)


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_ranks_lie_inside_0_and_1_and_zscores_have_the_sign_of_differences(rows):
    found = contrasts(*table(rows))
    ranks = found.filter(regex=r"^rank\.").stack()
    assert ranks.between(0, 1, inclusive="neither").all()
    for network in ("a", "b", "networks"):
        signs = np.sign(found[[f"zscore.{network}", f"difference.{network}"]].dropna())
        assert signs.nunique(axis=1).le(1).all()


def test_the_share_of_the_largest_and_the_contrasts_within_the_site_are_these():
    logits, patients = table([("p", 0.0, 0.0), ("p", 2.0, 0.0), ("p", -1.0, 0.0), ("q", 1.0, 0.0)])
    sites = pd.Series(["arm", "leg", "arm", np.nan], index=logits.index)
    found = contrasts(logits[["a"]], patients, sites, FAMILIES)
    np.testing.assert_allclose(found["share.a"], [0.5 / expit(2), 1, expit(-1) / expit(2), 1])
    np.testing.assert_allclose(found["site_difference.a"], [0.5, 0, -0.5, 0])
    np.testing.assert_allclose(found["site_rank.a"], [0.75, 0.5, 0.25, 0.5])
    np.testing.assert_allclose(found["site_share.a"], [1, 1, expit(-1) / expit(0), 1])


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_shares_lie_within_0_and_1_and_each_patients_largest_has_all(rows):
    logits, patients = table(rows)
    share = contrasts(logits, patients, families=["share"])["share.a"]
    assert share.dropna().between(0, 1).all()
    assert share.groupby(patients).max().dropna().eq(1).all()
