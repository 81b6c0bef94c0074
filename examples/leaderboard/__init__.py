"""Seeds of the leaderboard, and the workflow that checks a submission."""
