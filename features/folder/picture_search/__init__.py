"""Where the pictures of a data folder are: as the mapping says, in usual folders, elsewhere, or in class folders."""
