"""relay-bot with groups of acks of a size of our choice: `python -m bench.drive.grouped SIZE run --config …`.

What it is compared with: `one` packet for all who voted into a commit, or so many in each.
"""

import sys

from relay_bot.hall import outbox
from relay_bot.link import packets


def main() -> None:
    """Take the size off the command line and start the bot."""
    said = sys.argv.pop(1)

    def group_size(receivers: int, bytes_each: float, link: str) -> int:
        return max(1, receivers if said == "one" else int(said))

    outbox.group_size = packets.group_size = group_size
    from relay_bot.cli import main as run

    sys.exit(run())


if __name__ == "__main__":
    main()
