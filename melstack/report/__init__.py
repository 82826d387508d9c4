"""What people read: the run's page, the data's page, the model card, the history, the galleries."""
