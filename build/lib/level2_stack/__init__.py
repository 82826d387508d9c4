"""From predictions and features to one probability per case; starts in a second, imports no TensorFlow."""
