"""What is said: envelopes, bodies, refusals, answers. Imports nothing else of the project."""
