"""The nested cross-validation: fits, decisions, tuning, ablation, side by side on a cluster."""
