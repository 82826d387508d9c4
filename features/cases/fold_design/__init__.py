"""The division of training cases into folds: by patients, official groups, the values of a column, or time."""
