"""The data's own page: what the pictures and tables of a run look like before anything is trained."""
