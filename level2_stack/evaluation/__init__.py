"""AUC, clinical metrics, intervals, paired tests, subgroups, and evaluation on true labels."""
