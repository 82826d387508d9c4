"""Case tables, pictures, leak audit and feature blocks: what is known of the cases before a model is trained."""
