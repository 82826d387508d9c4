"""The design: the table that learners get, its checks, and its shift between train and test."""
