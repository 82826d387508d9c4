"""Choose the fewest networks that lose at most a given AUC."""
