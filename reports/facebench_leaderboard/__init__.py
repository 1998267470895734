"""The leaderboard: results side by side, as a page for people and as Markdown for repositories."""
