"""The model card of a finished stack: intended use, data, evaluation and limits."""
