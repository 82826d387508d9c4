"""The product's face: the command, the pages that people read, the bundle that people take away."""
