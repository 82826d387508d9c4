"""Augmentation: pure tensor functions that change each picture of a batch by its own random amounts."""
