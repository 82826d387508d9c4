"""Work on a Dask cluster: its workers, what makes one unfit, and tasks side by side."""
