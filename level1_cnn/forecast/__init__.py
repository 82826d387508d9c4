"""Time, disk and memory of a model, forecast from a few measured steps."""
