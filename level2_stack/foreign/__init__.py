"""Import predictions of networks that were trained elsewhere: read them, check them, confirm their row order."""
