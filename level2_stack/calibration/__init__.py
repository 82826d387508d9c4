"""From scores to probabilities: calibrators, likelihood, reliability."""
