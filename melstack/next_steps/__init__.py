"""What to try next with a finished run: more patients, networks, views, metadata, or another look at some labels."""
