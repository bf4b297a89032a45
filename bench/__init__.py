"""The bench: relay-bot beside bots on the bare LiveKit SDK, in one run, on one machine.

`python -m bench` prints DESIGN.md's table of figures to hold. They are ratios, because absolute figures
say more about a machine than about a bot: each is measured in turns (ours, bare, ours, bare …) against the
same server with the same crowd, and the median of the rounds' ratios counts.
"""
