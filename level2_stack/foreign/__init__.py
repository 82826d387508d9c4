"""Other networks' predictions: read, checked, their row order confirmed, brought into a run."""
