"""The leak audit: pictures of the same lesion under several names, and other causes of scores that are too good."""
