"""How long a hall is without its bot when the bot was killed with a long journal behind it."""

import time
from collections.abc import Callable

from bench.drive.hall import cast_votes
from bench.drive.ours import RelayBot
from bench.errors import BenchError
from bench.measure import Spread
from bench.report import Row
from bench.stage import OPTIONS, Stage
from scripts.devstack.livekit_server import wait_until

RESTART = "restart after a kill with {:,} journaled votes (as many voters) in a hall"
RESTART_HOLD = 3.0

_HALL, _POLL = "restart", "restart"
_PARTICIPANTS = 5
_ROUNDS = 3
_LIMIT = 30.0


def restart(stage: Stage) -> list[Row]:
    """Start on the journal of a bot that was killed; wait for the right tally and for one acked vote.

    No crowd has 100,000 people, so the journal is written by the real hall without LiveKit, for this very
    room, each vote with an id, and killed like kill -9. Then relay-bot is started, killed and started again
    in the real room. The clock runs from the start of the process to the ack of a vote whose voter sends it
    again with the same id every 100 ms, as a hurried client would.
    """
    votes = stage.plan.restart_votes
    ours = stage.relay_bot("restart", [_HALL])
    stage.crowd.join([_HALL], _PARTICIPANTS)
    with stage.voice.busy(f"{votes:,} votes are cast"):
        cast_votes(
            *("--votes", str(votes), "--voters", str(votes), "--with-ids", "--killed"),
            *("--database", ours.database, "--hall", _HALL, "--poll", _POLL),
            *("--room-sid", stage.room_sid(_HALL)),
        )
    voters, seconds = votes, list[float]()
    for _ in range(min(stage.plan.rounds, _ROUNDS)):
        started = time.monotonic()
        ours.start(wait=False)
        _wait_for_voters(ours, voters)
        outcome = stage.crowd.pingpong(
            ours.identity, _POLL, hall=_HALL, votes=1, options=OPTIONS, resend_seconds=0.1, seconds=_LIMIT
        )
        if outcome.acked != 1:
            raise BenchError("no vote was acked after the restart")
        seconds.append(time.monotonic() - started)
        voters = votes + 1  # the same one votes each time
        _wait_for_voters(ours, voters)
        ours.kill()
    took = Spread.of(seconds)
    return [
        Row(
            "restart",
            f"{RESTART.format(votes)}: back, tallied and answering",
            f"≤ {RESTART_HOLD:g} s",
            f"{took.median:.2f} s ({took.least:.2f}–{took.greatest:.2f})",
            held=took.greatest <= RESTART_HOLD,
            samples={"seconds": seconds},
        )
    ]


def _wait_for_voters(ours: RelayBot, expected: int) -> None:
    def is_there() -> bool:
        tally = ours.tally(_HALL, _POLL)
        return tally is not None and tally.total_voters == tally.total_votes == expected

    if not wait_until(is_there, _LIMIT, pause=0.02):
        raise BenchError(f"after a restart the tally is {ours.tally(_HALL, _POLL)}, not {expected} voters")


SCENARIOS: dict[str, Callable[[Stage], list[Row]]] = {"restart": restart}
