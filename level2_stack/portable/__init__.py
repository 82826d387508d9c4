"""Export a finished stack as a folder that predicts without its run, and read it."""
