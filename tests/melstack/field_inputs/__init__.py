"""Inputs as public data sets, notebooks and other people have them, each written by a function, and their outcomes."""
