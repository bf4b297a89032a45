"""What the bot tells of itself: logs and metrics. Neither holds message texts, tokens or names."""
