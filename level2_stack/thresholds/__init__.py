"""Operating points: thresholds chosen on inner folds, evaluated on outer ones, and frozen for new cases."""
