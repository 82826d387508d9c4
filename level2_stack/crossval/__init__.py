"""Nested cross-validation: fits, decisions, tuning and ablation, on one machine or on a cluster."""
