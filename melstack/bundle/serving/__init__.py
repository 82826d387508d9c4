"""A server for a bundle: a page for one patient, and an interface for programs; nothing is stored."""
