"""Everything that people read: the report of a run, the data page, the model card, the run history, the galleries."""
