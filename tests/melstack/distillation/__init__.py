"""Tests of melstack/next_steps."""
