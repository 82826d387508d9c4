"""Decoding of uploaded pictures in processes of their own, which may be killed."""
