"""Augmentation: pure tensor functions that change every picture of a batch by amounts drawn for it alone."""
