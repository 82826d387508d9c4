"""Tests of level2_stack/outlook."""
