"""DeLong's pairs, written out."""

import numpy as np


def wins(y, score):
    """Return for every pair of a positive and a negative whether it is won, ties as a half."""
    positives, negatives = score[y == 1][:, np.newaxis], score[y == 0]
    return (positives > negatives) + 0.5 * (positives == negatives)
