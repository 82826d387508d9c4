"""Tests of features/words."""
