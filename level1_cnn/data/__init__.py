"""The input of the networks: decoded pictures, training rows, targets and the feed."""
