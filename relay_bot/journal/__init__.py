"""The journal: an append-only log of what was decided, one sequence for each hall session."""
