"""The fewest networks within a loss of AUC."""
