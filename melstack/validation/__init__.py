"""Validation of a bundle on labelled cases that it was not trained on: cases, measures, drift, update, tables."""
