"""One small network that imitates a whole stack, and what that costs on folds that no part of it was fitted to."""
