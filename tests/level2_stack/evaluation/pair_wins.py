"""Pairs of a positive and a negative, for DeLong's method by its definition."""

import numpy as np


def wins(y, score):
    """Return for every pair of a positive and a negative whether the positive has the higher score; ties are 0.5."""
    positives, negatives = score[y == 1][:, np.newaxis], score[y == 0]
    return (positives > negatives) + 0.5 * (positives == negatives)
