"""One module for each kind of figure; each gives the rows that it measured."""
