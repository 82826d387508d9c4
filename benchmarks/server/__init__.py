"""The server under load, under attack, and on a batch of a thousand patients."""
