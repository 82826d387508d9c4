"""Time, disk and memory of a stack, forecast."""
