"""The case table: the cases of a user's data folder, checked and frozen."""
