"""Tests of the drawn clinic as an exercise for networks: they see its signs, and statistics of a picture do not."""

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from features.clinic.camera import CAMERAS
from features.clinic.description import Lesion
from features.clinic.lesions import draw_lesion
from features.pictures.read import resize_square
from features.pictures.statistics.picture import picture_statistics
from level1_cnn.backbones import efficientnet_lite

PICTURES, SIDE = 300, 128
ARRANGEMENTS = ("atypia", "streaks", "clods")  # the signs with most weight in the risk


def correlation(columns: np.ndarray, values: np.ndarray) -> float:
    """Return the correlation of ``values`` with their out-of-fold prediction by a ridge regression on ``columns``."""
    ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(1, 5, 9)))
    return float(np.corrcoef(values, cross_val_predict(ridge, columns, values, cv=5))[0, 1])


@pytest.mark.full
def test_frozen_features_show_the_signs_and_picture_statistics_do_not():
    random = np.random.default_rng(0)
    names = [field.name for field in fields(Lesion) if field.name != "camera"]
    values = pd.DataFrame(random.random((PICTURES, len(names))), columns=names)
    lesions = [Lesion(**row, camera=int(random.integers(len(CAMERAS)))) for row in values.to_dict("records")]
    pictures = [draw_lesion(lesion, random) for lesion in lesions]
    network = efficientnet_lite.build("lite0", image_size=SIDE, weights="imagenet")
    pixels = np.stack([resize_square(picture, SIDE) for picture in pictures]).astype(np.float32)
    features = np.concatenate([network(pixels[row : row + 50], training=False) for row in range(0, PICTURES, 50)])
    statistics = pd.DataFrame([picture_statistics(picture) for picture in pictures]).to_numpy()
    signs = [values[name].to_numpy() for name in ARRANGEMENTS]
    by_network, by_statistics = (
        np.mean([correlation(columns, sign) for sign in signs]) for columns in (features, statistics)
    )
    assert by_network > 0.45
    assert by_statistics < 0.35
