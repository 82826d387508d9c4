"""The leak audit: pictures that show the same under several names, and everything else that could flatter a number."""
