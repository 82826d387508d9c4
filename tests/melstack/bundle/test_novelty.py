"""Tests for novelty.py: the space of the training pictures, and the distances in it."""

import time

import numpy as np
import pandas as pd
import pytest

from melstack.bundle.novelty import DIMENSIONS, learn_novelty


def embeddings(pictures: int, numbers: int) -> pd.DataFrame:
    """Return embeddings with most of their variance in a few directions, as those of networks."""
    rng = np.random.default_rng(3)
    directions = rng.normal(size=(100, numbers)) / np.arange(1, 101)[:, np.newaxis]
    values = rng.normal(size=(pictures, 100)) @ directions + 5
    return pd.DataFrame(values.astype(np.float32), index=[f"p{number}" for number in range(pictures)])


@pytest.mark.parametrize(("pictures", "numbers"), [(400, 300), (300, 700), (40, 700), (400, 20), (3, 5)])
def test_the_axes_are_the_principal_axes(pictures: int, numbers: int) -> None:
    table = embeddings(pictures, numbers)
    patients = pd.Series(table.index, table.index)
    (space,) = learn_novelty(table, patients, None).spaces
    rows = table.to_numpy(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    deviations = rows - rows.mean(axis=0)
    expected = np.linalg.svd(deviations, full_matrices=False)[1][:DIMENSIONS]
    lengths = np.sort(np.linalg.norm(deviations @ space.axes, axis=0))[::-1]
    np.testing.assert_allclose(lengths, expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(space.axes.T @ space.axes, np.eye(len(expected)), atol=1e-3)


def test_a_network_with_many_features_costs_seconds() -> None:
    table = embeddings(300, 16_512)  # lite0_joint_all has as many
    start = time.perf_counter()
    learn_novelty(table, pd.Series(table.index, table.index), None)
    assert time.perf_counter() - start < 60
