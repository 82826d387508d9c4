"""The case table: what a user's folder says of each case, checked and frozen."""
