"""What a vote costs, and how long its voter waits: relay-bot beside the bare sink and the bare echo."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.drive.bare import Bare
from bench.drive.crowd import Latency, Outcome
from bench.drive.ours import RelayBot
from bench.errors import BenchError
from bench.measure import Spread, cost_of, quantile
from bench.report import Row
from bench.stage import OPTIONS, POLL, NativeHall, OneHall, SdkHall, Stage

TALLY = "CPU a vote, tallied and durable, no `id`, against a bare sink"
TALLY_HOLD = 1.2
ACK = "CPU a vote with an `id`, acked after the commit, in a burst, against a bare echo"
ACK_HOLD = 0.5
ROUND_TRIP = "round trip of one acked vote, against a bare echo"
P50_HOLD, P99_HOLD = 1.5, 2.0
_BLOCKS = 8


def tally(stage: Stage) -> list[Row]:
    """Bursts without answers: all that a vote costs is taking it, counting it and keeping it."""
    hall, plan = stage.sdk_hall(), stage.plan
    total = plan.votes * plan.participants

    def burst(bot: RelayBot | Bare) -> float:
        def send() -> None:
            outcome = stage.crowd.burst(
                bot.identity,
                POLL,
                halls=[hall.name],
                votes=plan.votes,
                options=OPTIONS,
                with_id=False,
                spread_seconds=plan.spread_seconds,
            )
            require(outcome.sent == total, f"{outcome.sent} of {total} votes were sent")
            last_choices[:] = outcome.choices

        return cost_of(bot.pid, send).cpu / total * 1e6

    last_choices: list[int] = []
    ours: list[float] = []
    bare: list[float] = []
    for _ in range(plan.rounds):
        kept = hall.ours.votes_kept()
        ours.append(burst(hall.ours))
        _check_tally(hall, last_choices)
        kept = hall.ours.votes_kept() - kept
        require(kept == total, f"the journal has {kept} of {total} votes")
        seen = hall.sink.seen().received
        bare.append(burst(hall.sink))
        arrived = hall.sink.seen().received - seen
        require(arrived == total, f"the bare sink received {arrived} of {total} votes")
    return [cpu_row("tally", TALLY, TALLY_HOLD, ours, bare)]


def ack(stage: Stage) -> list[Row]:
    """Bursts in which every vote is answered: after the commit by ours, at once by the bare echo."""
    hall, plan = stage.sdk_hall(), stage.plan
    spread = plan.spread_seconds / 2
    ours: list[Acked] = []
    bare: list[Acked] = []
    for _ in range(plan.rounds):
        ours.append(acked_burst(stage, hall, hall.ours, plan.acked_votes, spread))
        bare.append(acked_burst(stage, hall, hall.echo, plan.acked_votes, spread))
    waits = {
        "ours_p50_ms": [one.wait.p50 for one in ours],
        "bare_p50_ms": [one.wait.p50 for one in bare],
        "ours_p99_ms": [one.wait.p99 for one in ours],
        "bare_p99_ms": [one.wait.p99 for one in bare],
    }
    return [cpu_row("ack", ACK, ACK_HOLD, [one.cpu_us for one in ours], [one.cpu_us for one in bare], waits)]


@dataclass(frozen=True, slots=True)
class Acked:
    """What a burst in which every vote was answered came to."""

    cpu_us: float  # of the bot, a vote
    wait: Latency  # of the voters, for their answers


def acked_burst(stage: Stage, hall: OneHall, bot: RelayBot | Bare, votes: int, spread_seconds: float) -> Acked:
    """Let each participant of the hall vote so often, with ids, within the given time.

    Raises:
        BenchError: A vote had no answer.
    """
    total = votes * stage.plan.participants
    outcomes: list[Outcome] = []

    def send() -> None:
        outcome = stage.crowd.burst(
            bot.identity,
            POLL,
            halls=[hall.name],
            votes=votes,
            options=OPTIONS,
            with_id=True,
            spread_seconds=spread_seconds,
        )
        outcomes.append(outcome)

    cpu = cost_of(bot.pid, send).cpu / total * 1e6
    outcome = outcomes[0]
    require(outcome.acked == total, f"{bot.identity} answered {outcome.acked} of {total} votes")
    return Acked(cpu, outcome.latency_ms)


def round_trip(stage: Stage) -> list[Row]:
    """One vote at a time, each sent after the answer to the one before."""
    return round_trip_rows(stage, stage.sdk_hall(), "rtt", ROUND_TRIP)


def round_trip_rows(stage: Stage, hall: SdkHall | NativeHall, name: str, what: str) -> list[Row]:
    """How long the answer takes, from ours and from the bare echo on the Python SDK.

    A round takes its turns in short blocks, so that both bots share whatever else the machine does.
    """
    plan = stage.plan
    block = max(1, plan.pings // _BLOCKS)

    def pings(bot: RelayBot | Bare) -> list[float]:
        outcome = stage.crowd.pingpong(bot.identity, POLL, hall=hall.name, votes=block, options=OPTIONS)
        require(outcome.acked == block, f"{bot.identity} answered {outcome.acked} of {block} pings")
        return outcome.samples_ms

    ours: list[list[float]] = []
    bare: list[list[float]] = []
    for _ in range(plan.rounds):
        mine: list[float] = []
        theirs: list[float] = []
        for _ in range(_BLOCKS):
            mine += pings(hall.ours)
            theirs += pings(hall.echo)
        ours.append(mine)
        bare.append(theirs)
    return [
        _round_trip_row(f"{name}_p50", f"{what}: p50", ours, bare, 0.50, P50_HOLD),
        _round_trip_row(f"{name}_p99", f"{what}: p99", ours, bare, 0.99, P99_HOLD),
    ]


def _round_trip_row(
    name: str, what: str, ours: list[list[float]], bare: list[list[float]], share: float, hold: float
) -> Row:
    mine = [quantile(samples, share) for samples in ours]
    theirs = [quantile(samples, share) for samples in bare]
    ratio = Spread.of_ratios(mine, theirs)
    return Row(
        name,
        what,
        f"≤ {hold:g}×",
        f"{Spread.of(mine).median:.2f} ms",
        f"{Spread.of(theirs).median:.2f} ms",
        ratio,
        ratio.median <= hold,
        samples={"ours_ms": mine, "bare_ms": theirs},
    )


def cpu_row(
    name: str,
    what: str,
    hold: float,
    ours: list[float],
    bare: list[float],
    more: dict[str, list[float]] | None = None,
) -> Row:
    """A ratio of CPU a vote, with what else was noted of the rounds."""
    ratio = Spread.of_ratios(ours, bare)
    waits = more or {}
    return Row(
        name,
        what,
        f"≤ {hold:g}×",
        f"{Spread.of(ours).median:.0f} µs",
        f"{Spread.of(bare).median:.0f} µs",
        ratio,
        ratio.median <= hold,
        samples={"ours_us": ours, "bare_us": bare, **waits},
    )


def _check_tally(hall: OneHall, expected: list[int]) -> None:
    """A cheap vote that is not counted is no vote: each participant's last choice must stand in the tally."""
    tally = hall.ours.tally(hall.name, POLL)
    if tally is None or tally.counts != expected:
        raise BenchError(f"the tally is {tally}, the crowd's last votes were {expected}")


def require(condition: bool, otherwise: str) -> None:
    """Raise `BenchError` where what a figure stands on isn't so."""
    if not condition:
        raise BenchError(otherwise)


SCENARIOS: dict[str, Callable[[Stage], list[Row]]] = {"tally": tally, "ack": ack, "rtt": round_trip}
