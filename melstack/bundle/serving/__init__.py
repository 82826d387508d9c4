"""A local page for one patient, and the endpoint it uses: bound to this machine, and nothing is stored."""
