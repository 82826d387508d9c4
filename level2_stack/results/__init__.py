"""What a stack found: its leaderboard and its tables."""
