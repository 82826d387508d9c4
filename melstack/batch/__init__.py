"""A run as jobs of SLURM: the parts of level one as a job array, and the scripts that submit them."""
