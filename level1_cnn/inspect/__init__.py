"""Inspection of networks: augmentations, learning rates, heat maps, contributions of views."""
