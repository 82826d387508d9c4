"""AUC, clinical metrics, intervals, paired tests, subgroups, and a known truth."""
