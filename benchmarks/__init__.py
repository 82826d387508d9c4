"""Speed, memory and proofs: what measures the project; not in the wheel, imported by nobody."""
