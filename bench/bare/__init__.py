"""Bots with no logic on the bare LiveKit SDK: what relay-bot is measured against."""
