"""The built-in plugins: one folder each, none imports another."""
