"""The data page: counts and distributions of the pictures and tables of a run, before anything is trained."""
