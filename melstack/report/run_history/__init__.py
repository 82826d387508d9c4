"""The history of experiments: finished stacks of several runs side by side, and MLflow for those who keep it."""
