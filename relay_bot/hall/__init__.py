"""The hall's runtime: what happens between a packet's arrival and its answer."""
