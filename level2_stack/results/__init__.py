"""The results of a stack: leaderboard, tables and terminal lines."""
