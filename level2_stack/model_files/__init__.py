"""Checks of model files before a library reads them: a crafted file must not end the process."""
