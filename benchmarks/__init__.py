"""Benchmarks and studies of this project: speed, memory, and checks of its own numbers; not in the wheel."""
