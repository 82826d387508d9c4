"""Training, fold by fold: from a step to merged out-of-fold predictions."""
