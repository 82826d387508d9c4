"""What is known of a case before a model is trained: the ground both levels stand on."""
