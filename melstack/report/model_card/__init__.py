"""The model card of a finished stack: what it is for, how it was measured, and what it cannot do."""
