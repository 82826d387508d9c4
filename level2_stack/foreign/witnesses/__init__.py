"""What speaks for and against brought predictions: the run's networks, patients, metadata, and other networks."""
