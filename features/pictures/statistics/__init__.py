"""Statistics of a picture: light, colour, texture, and the shape of its lesion."""
