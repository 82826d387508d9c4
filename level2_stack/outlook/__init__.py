"""What would help a finished stack: more patients, other networks; and cases whose label may be wrong."""
