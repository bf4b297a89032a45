"""What the native link costs, both processes together: beside bare bots on the Python SDK and on the Go SDK."""

import time
from collections.abc import Callable

from bench.drive.hall import carry_frames
from bench.drive.ours import RelayBot
from bench.errors import BenchError
from bench.measure import Spread, cpu_seconds, idle_share, memory_bytes, wait_until_quiet
from bench.report import Row
from bench.scenarios.halls import message_cost
from bench.scenarios.votes import ROUND_TRIP, Acked, acked_burst, cpu_row, require, round_trip_rows
from bench.stage import OPTIONS, POLL, NativeHall, Stage

ACKS_PYTHON = "native link: CPU an acked, durable vote in a burst, against a bare echo on the Python SDK"
ACKS_GO = "native link: the same against a bare echo on the Go SDK, which keeps nothing"
PYTHON_HOLD, GO_HOLD = 0.08, 2.5
WAIT = "native link: ack p99 in a burst of {:,} votes from {} participants within a second"
WAIT_MS_HOLD, WAIT_HOLD = 250.0, 0.1
ROUND_TRIP_NATIVE = f"native link: {ROUND_TRIP}"
JOINS = "native link: {} halls found at once, joined and live"
JOINS_HOLD = 30.0
MEMORY = "native link: memory for an idle hall (USS), with {} halls"
MEMORY_MB_HOLD = 1.0
IDLE = "native link: CPU of an idle hall, with {} halls"
IDLE_MS_HOLD = 0.5
PACKETS = "native link: CPU a message with {} halls in the process, one of them voting, against 1 hall"
PACKETS_HOLD = 1.3
ALL_VOTING = "native link: the same with all of them voting, so that each message comes, is kept and is told alone"
SOCKET = "native link: our side of its socket, from there to the mailbox, no SDK: CPU a packet"
AUDIENCE = "native link: {:,} participants vote once within the same second"
CROWD = "native link: {:,} participants vote in one moment, {}: acks in groups, against one packet for all of a commit"
CROWD_MS_HOLD = 600.0
_CROWD_FIGURES = {
    "p50_ms": "ack p50",
    "p99_ms": "ack p99",
    "bot_ms": "CPU of the bot",
    "sfu_ms": "CPU of the SFU",
}
_MOMENT_SECONDS = 0.2

_ROUNDS = 3  # of what needs new processes, or as many seconds
_SETTLE_SECONDS = 5.0
_IDLE_SECONDS = 10.0
_JOIN_PAUSE = 0.05
_RESEND_SECONDS = 2.0
_TOGETHER = (1, 10, 100)  # packets in a message of the link's: a quiet hall's, a busy one's, a crowd's


def acks(stage: Stage) -> list[Row]:
    """Bursts in which every vote is answered: after the commit by ours, at once by the bare echoes."""
    hall, plan = stage.native_hall(), stage.plan
    ours: list[Acked] = []
    python: list[Acked] = []
    go: list[Acked] = []
    for _ in range(plan.rounds):
        for bot, outcomes in ((hall.ours, ours), (hall.go_echo, go), (hall.echo, python)):
            outcomes.append(acked_burst(stage, hall, bot, plan.native_votes, plan.spread_seconds))
    cost = [one.cpu_us for one in ours]
    return [
        cpu_row("native_acks_python", ACKS_PYTHON, PYTHON_HOLD, cost, [one.cpu_us for one in python]),
        cpu_row("native_acks_go", ACKS_GO, GO_HOLD, cost, [one.cpu_us for one in go]),
        _wait_row(stage, ours, python, go),
    ]


def _wait_row(stage: Stage, ours: list[Acked], python: list[Acked], go: list[Acked]) -> Row:
    plan = stage.plan
    mine, theirs = [one.wait.p99 for one in ours], [one.wait.p99 for one in python]
    middle, ratio = Spread.of(mine), Spread.of_ratios(mine, theirs)
    return Row(
        "native_acks_p99",
        WAIT.format(plan.native_votes * plan.participants, plan.participants),
        f"≤ {WAIT_MS_HOLD:g} ms, ≤ {WAIT_HOLD:g}×",
        f"{middle.median:.0f} ms ({middle.least:.0f}–{middle.greatest:.0f})",
        f"{Spread.of(theirs).median:.0f} ms (Go SDK: {Spread.of([one.wait.p99 for one in go]).median:.0f} ms)",
        ratio,
        middle.median <= WAIT_MS_HOLD and ratio.median <= WAIT_HOLD,
        samples={
            "ours_ms": mine,
            "ours_p50_ms": [one.wait.p50 for one in ours],
            "bare_ms": theirs,
            "go_ms": [one.wait.p99 for one in go],
        },
    )


def round_trip(stage: Stage) -> list[Row]:
    """One vote at a time, beside the bare echo on the Python SDK, as `rtt` has it for the other link."""
    return round_trip_rows(stage, stage.native_hall(), "native_rtt", ROUND_TRIP_NATIVE)


def halls(stage: Stage) -> list[Row]:
    """Many halls: how fast they are joined, and what they cost, idle and voting.

    One of them has as many participants as the one hall of the other process, the rest have one each. New
    processes each round; the last one's halls vote. The clock of the joins runs from the last moment at
    which the new process did not answer yet (it asks for the rooms right after) until all halls are live.
    Memory is compared with a process that has one of the halls, so that the base drops out; the idle CPU is
    the whole process's, divided by its halls.
    """
    plan, one = stage.plan, stage.native_hall()
    names = [f"natives-{n}" for n in range(plan.native_halls)]
    with stage.voice.busy(f"participants join {len(names)} halls"):
        stage.crowd.join(names[:1], plan.participants)
        stage.crowd.join(names[1:], 1)
    figures: dict[str, list[float]] = {"joins_a_second": [], "hall_mb": [], "idle_ms": []}
    many = None
    for number in range(min(plan.rounds, _ROUNDS)):
        if many is not None:
            many.close()
        base = _base_memory(stage, number)
        many = stage.relay_bot(f"natives-{number}", ["natives-*"], "native")
        figures["joins_a_second"].append(_joins_a_second(many, names))
        time.sleep(_SETTLE_SECONDS)
        figures["hall_mb"].append((memory_bytes(many.pid) - base) / (len(names) - 1) / 1e6)
        figures["idle_ms"].append(idle_share(many.pid, _IDLE_SECONDS) / len(names) * 1e3)
    assert many is not None
    for name in names:
        many.open_poll(name, POLL, OPTIONS)
    stage.crowd.burst(
        many.identity,
        POLL,
        halls=names,
        votes=1,
        options=OPTIONS,
        with_id=True,
        spread_seconds=plan.spread_seconds,
        resend_seconds=_RESEND_SECONDS,
    )
    costs = _message_costs(stage, one, many, names)
    medians = {name: Spread.of(values).median for name, values in costs.items()}
    joins, memory, idle = (Spread.of(values) for values in figures.values())
    packets = Spread.of_ratios(costs["among_many_us"], costs["alone_us"])
    everywhere = Spread.of_ratios(costs["all_us"], costs["alone_us"])
    return [
        Row(
            "native_joins",
            JOINS.format(len(names)),
            f"≥ {JOINS_HOLD:g}/s",
            f"{joins.median:.0f}/s ({joins.least:.0f}–{joins.greatest:.0f})",
            held=joins.median >= JOINS_HOLD,
            samples={"joins_a_second": figures["joins_a_second"]},
        ),
        Row(
            "native_memory",
            MEMORY.format(len(names)),
            f"≤ {MEMORY_MB_HOLD:g} MB",
            f"{memory.median:.2f} MB ({memory.least:.2f}–{memory.greatest:.2f})",
            held=memory.median <= MEMORY_MB_HOLD,
            samples={"mb": figures["hall_mb"]},
        ),
        Row(
            "native_idle",
            IDLE.format(len(names)),
            f"≤ {IDLE_MS_HOLD:g} ms/s",
            f"{idle.median:.2f} ms/s ({idle.least:.2f}–{idle.greatest:.2f})",
            held=idle.median <= IDLE_MS_HOLD,
            samples={"ms_a_second": figures["idle_ms"]},
        ),
        Row(
            "native_packets",
            PACKETS.format(len(names)),
            f"≤ {PACKETS_HOLD:g}×",
            f"{medians['alone_us']:.0f} → {medians['among_many_us']:.0f} µs",
            ratio=packets,
            held=packets.median <= PACKETS_HOLD,
            samples=costs,
        ),
        Row(
            "native_packets_all",
            ALL_VOTING,
            f"≤ {PACKETS_HOLD:g}×",
            f"{medians['alone_us']:.0f} → {medians['all_us']:.0f} µs",
            ratio=everywhere,
            held=everywhere.median <= PACKETS_HOLD,
        ),
    ]


def _message_costs(stage: Stage, one: NativeHall, many: RelayBot, names: list[str]) -> dict[str, list[float]]:
    """Messages in the one hall of a process, in one among many, and in all of many: microseconds each."""
    plan = stage.plan
    each = plan.native_halls * plan.hall_messages // plan.participants
    total, everywhere = each * plan.participants, plan.hall_messages * (len(names) - 1 + plan.participants)
    costs: dict[str, list[float]] = {"alone_us": [], "among_many_us": [], "all_us": []}
    for _ in range(min(plan.rounds, _ROUNDS)):
        costs["alone_us"].append(message_cost(stage, one.ours, [one.name], each, total))
        costs["among_many_us"].append(message_cost(stage, many, names[:1], each, total))
        costs["all_us"].append(message_cost(stage, many, names, plan.hall_messages, everywhere))
    return costs


def _base_memory(stage: Stage, number: int) -> int:
    """What a process with one of the halls has, once it has settled."""
    few = stage.relay_bot(f"natives-{number}-base", ["natives-0"], "native")
    few.start()
    few.wait_for_halls(["natives-0"])
    time.sleep(_SETTLE_SECONDS)
    base = memory_bytes(few.pid)
    few.close()
    return base


def _joins_a_second(bot: RelayBot, names: list[str]) -> float:
    bot.start(wait=False)
    started = bot.wait_for_answer()
    bot.wait_for_halls(names, pause=_JOIN_PAUSE)
    return len(names) / (time.monotonic() - started)


def audience(stage: Stage) -> list[Row]:
    """A thousand participants join; then each votes once within the same second.

    A vote whose answer is late is sent again with the same id, as clients do; the journal and the tally say
    whether any counted twice.
    """
    people, name = stage.plan.native_audience, "audience"
    ours = stage.relay_bot(name, [name], "native")
    ours.start()
    with stage.voice.busy(f"{people:,} participants join a hall"):
        stage.crowd.join([name], people)
    ours.open_poll(name, POLL, OPTIONS)
    outcome = stage.crowd.burst(
        ours.identity,
        POLL,
        halls=[name],
        votes=1,
        options=OPTIONS,
        with_id=True,
        spread_seconds=stage.plan.spread_seconds,
        resend_seconds=_RESEND_SECONDS,
    )
    tally, kept = ours.tally(name, POLL), ours.votes_kept()
    if tally is None:
        raise BenchError("the bot could not say how the poll stands")
    late = 2 * stage.plan.spread_seconds * 1000
    require(outcome.send_ms <= late, f"the crowd took {outcome.send_ms / 1000:.1f} s to send its votes")
    once = kept == tally.total_votes == tally.total_voters == people and tally.counts == outcome.choices
    stage.close_halls([name])
    ours.close()
    return [
        Row(
            "native_audience",
            AUDIENCE.format(people),
            f"{people:,} acked, no one twice",
            f"{outcome.acked:,} acked, {kept:,} kept; p99 {outcome.latency_ms.p99:.0f} ms, {outcome.resent} sent again",
            held=outcome.acked == people and once,
            samples={"p99_ms": [outcome.latency_ms.p99], "sent_ms": [outcome.send_ms]},
        )
    ]


def crowd(stage: Stage) -> list[Row]:
    """A crowd votes in one moment: ack packets in groups as the bot makes them, against one for all of a commit.

    In turns, each time a new process for the same participants. The first burst is not counted: with their first packet
    participants make the connection that they send over. CPU is that of the bot and of the SFU.
    """
    plan, name = stage.plan, "moment"
    with stage.voice.busy(f"{plan.crowd:,} participants join a hall"):
        stage.crowd.join([name], plan.crowd)
    figures: dict[str, list[float]] = {}
    for number in range(min(plan.rounds, _ROUNDS)):
        for kind, group in (("groups", ""), ("one", "one")):
            bot = stage.relay_bot(f"{name}-{kind}-{number}", [name], "native", group)
            bot.start()
            bot.open_poll(name, POLL, OPTIONS)
            _vote_at_once(stage, bot, name)
            for _ in range(plan.crowd_bursts):
                for figure, value in _vote_at_once(stage, bot, name).items():
                    figures.setdefault(f"{kind}_{figure}", []).append(value)
            bot.close()
    stage.close_halls([name])
    return [_crowd_row(figure, plan.crowd, figures) for figure in ("p50_ms", "p99_ms", "bot_ms", "sfu_ms")]


def _vote_at_once(stage: Stage, bot: RelayBot, hall: str) -> dict[str, float]:
    before = cpu_seconds(bot.pid), cpu_seconds(stage.server.pid)
    outcome = stage.crowd.burst(
        bot.identity,
        POLL,
        halls=[hall],
        votes=1,
        options=OPTIONS,
        with_id=True,
        spread_seconds=_MOMENT_SECONDS,
        resend_seconds=_RESEND_SECONDS,
    )
    require(outcome.acked == stage.plan.crowd, f"{outcome.acked:,} of {stage.plan.crowd:,} votes were answered")
    wait_until_quiet(bot.pid, 0.0)
    return {
        "p50_ms": outcome.latency_ms.p50,
        "p99_ms": outcome.latency_ms.p99,
        "bot_ms": (cpu_seconds(bot.pid) - before[0]) * 1e3,
        "sfu_ms": (cpu_seconds(stage.server.pid) - before[1]) * 1e3,
    }


def _crowd_row(figure: str, people: int, figures: dict[str, list[float]]) -> Row:
    groups, one = figures[f"groups_{figure}"], figures[f"one_{figure}"]
    return Row(
        f"native_crowd_{figure}",
        CROWD.format(people, _CROWD_FIGURES[figure]),
        "≤ 600 ms" if figure == "p99_ms" else "–",
        f"{Spread.of(groups).median:.0f} ms",
        f"{Spread.of(one).median:.0f} ms",
        Spread.of_ratios(groups, one),
        figure != "p99_ms" or Spread.of(groups).median <= CROWD_MS_HOLD,
        samples={"groups": groups, "one": one},
    )


def socket(frames: int, rounds: int) -> list[Row]:
    """What a packet costs between the link's socket and the hall's mailbox, alone and with others.

    In `native_acks` this is part of a vote's cost; here it stands alone, with a stand-in behind the socket.
    """
    costs: dict[str, list[float]] = {f"{together}_together_us": [] for together in _TOGETHER}
    for _ in range(min(rounds, _ROUNDS)):
        for together in _TOGETHER:
            result = carry_frames(frames if together > 1 else frames // 10, together)
            costs[f"{together}_together_us"].append(result.cpu_seconds / result.packets * 1e6)
    shown = ", ".join(
        f"{Spread.of(values).median:.1f} µs ({together} together)"
        for together, values in zip(_TOGETHER, costs.values(), strict=True)
    )
    return [Row("native_socket", SOCKET, "–", shown, samples=costs)]


SCENARIOS: dict[str, Callable[[Stage], list[Row]]] = {
    "native_acks": acks,
    "native_rtt": round_trip,
    "native_halls": halls,
    "native_audience": audience,
    "native_crowd": crowd,
}
