"""The leaderboard: checks documents of certified results, and builds a page that compares them."""
