"""What people type behind a command: names, quotes, times and words, read the same way for every command."""
