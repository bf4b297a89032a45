"""The processes that the bench starts and talks to."""
