"""Forecast the time, disk and memory of a stack."""
