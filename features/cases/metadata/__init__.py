"""The metadata columns of the case table: which columns are features."""
