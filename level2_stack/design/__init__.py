"""The design: the table that learners are given, its checks, and its shift between train and test."""
