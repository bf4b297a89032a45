"""The polls plugin with its journal on SQLite, without any SDK."""

from bench.drive.hall import cast_votes
from bench.measure import Spread
from bench.report import Row

JOURNAL = "polls plugin with its journal on SQLite, no SDK, on one core"
JOURNAL_HOLD = 50_000

_ROUNDS = 3


def journal(votes: int, rounds: int) -> list[Row]:
    """Durable votes a second, each round in a new process with a new database.

    The way is whole but for the link: mailbox, gate, codec, plugin, journal, all built-in plugins loaded. A
    second is a second of the core that the process is pinned to; what else runs there would only add to the
    clock's, which is shown beside it.
    """
    rates: list[float] = []
    by_clock: list[float] = []
    for _ in range(min(rounds, _ROUNDS)):
        result = cast_votes("--votes", str(votes))
        rates.append(result.votes / result.cpu_seconds)
        by_clock.append(result.votes / result.seconds)
    rate = Spread.of(rates)
    clock = Spread.of(by_clock)
    return [
        Row(
            "journal",
            JOURNAL,
            f"≥ {JOURNAL_HOLD:,} votes/s",
            f"{rate.median:,.0f} votes/s ({rate.least:,.0f}–{rate.greatest:,.0f}; by the clock {clock.median:,.0f})",
            held=rate.median >= JOURNAL_HOLD,
            samples={"votes_a_cpu_second": rates, "votes_a_second": by_clock},
        )
    ]
