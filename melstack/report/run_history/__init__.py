"""The run history: the finished stacks of several runs side by side, and their log in MLflow."""
