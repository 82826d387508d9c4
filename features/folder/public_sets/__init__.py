"""Public data sets as they are downloaded: a TOML each with the names of their files and columns."""
