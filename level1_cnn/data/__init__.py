"""What a network is shown: decoded pictures, rows, targets and the feed."""
