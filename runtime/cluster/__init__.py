"""Work on a Dask cluster: requirements of its workers, and tasks that run in parallel."""
