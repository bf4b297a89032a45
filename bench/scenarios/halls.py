"""What a hall costs when there are many: memory while it is idle, CPU for a message in one of them."""

import time
from collections.abc import Callable

from bench.drive.bare import Bare
from bench.drive.ours import RelayBot
from bench.errors import BenchError
from bench.measure import Spread, cost_of, idle_share, memory_bytes
from bench.report import Row
from bench.stage import OPTIONS, POLL, WARM_UP_SECONDS, Stage
from scripts.devstack.livekit_server import wait_until

MEMORY = "memory for an idle hall (USS), against a bare hidden Room"
MEMORY_HOLD = 1.25
AGENTS_MB = 24.0  # a livekit-agents job with thread executors, as LIVEKIT.md has it; not measured here
AGENTS = "memory for an idle hall, against a livekit-agents thread job (reference: 24 MB)"
AGENTS_HOLD = 0.25
HALLS = "CPU a message with {} halls in the process, all of them voting, against 1 hall"
HALLS_HOLD = 2.2

_ROUNDS = 3  # of memory each with new processes: a process's second hundred of rooms tells nothing new
_SETTLE_SECONDS = 5.0
_LATE_SECONDS = 10.0


def memory(stage: Stage) -> list[Row]:
    """New processes each round: memory with one hall, then with many more, so that the base drops out.

    Both bots are in the same halls with one participant each.
    """
    ours: list[float] = []
    bare: list[float] = []
    for number in range(min(stage.plan.rounds, _ROUNDS)):
        mine, theirs = _megabytes_a_hall(stage, f"memory{number}")
        ours.append(mine)
        bare.append(theirs)
    ratio = Spread.of_ratios(ours, bare)
    to_agents = Spread.of([value / AGENTS_MB for value in ours])
    mine, theirs = f"{Spread.of(ours).median:.2f} MB", f"{Spread.of(bare).median:.2f} MB"
    samples = {"ours_mb": ours, "bare_mb": bare}
    return [
        Row(
            "memory",
            MEMORY,
            f"≤ {MEMORY_HOLD:g}×",
            mine,
            theirs,
            ratio,
            ratio.median <= MEMORY_HOLD,
            samples=samples,
        ),
        Row(
            "memory_agents",
            AGENTS,
            f"≤ {AGENTS_HOLD:g}×",
            mine,
            f"({AGENTS_MB:g} MB)",
            to_agents,
            to_agents.median <= AGENTS_HOLD,
        ),
    ]


def _megabytes_a_hall(stage: Stage, name: str) -> tuple[float, float]:
    halls = [f"{name}-{n}" for n in range(stage.plan.memory_halls + 1)]
    with stage.voice.busy(f"{len(halls)} idle halls"):
        ours = stage.relay_bot(name, [f"{name}-*"])
        ours.start()
        bare = stage.bare("sink", f"bare-{name}")
        before: list[int] = []
        for some in (halls[:1], halls[1:]):
            stage.crowd.join(some, 1)
            bare.join(some)
            ours.wait_for_halls(some)
            time.sleep(_SETTLE_SECONDS)
            before += [memory_bytes(ours.pid), memory_bytes(bare.pid)]
        ours_one, bare_one, ours_many, bare_many = before
        ours.close()
        bare.close()
        stage.close_halls(halls)
    added = stage.plan.memory_halls * 1e6
    return (ours_many - ours_one) / added, (bare_many - bare_one) / added


def halls(stage: Stage) -> list[Row]:
    """The same number of messages at the same pace: all in one hall, or spread over many.

    Both bots of a kind get the same. What the halls cost when idle is taken off: with many of them that
    is no part of a message.
    """
    plan, one = stage.plan, stage.sdk_hall()
    names = [f"many-{n}" for n in range(plan.halls)]
    with stage.voice.busy(f"two bots join {plan.halls} halls"):
        stage.crowd.join(names, 1)
        ours = stage.relay_bot("many", ["many-*"])
        ours.start()
        bare = stage.bare("sink", "bare-many")
        bare.join(names)
        for name in names:
            ours.open_poll(name, POLL, OPTIONS, seconds=60)
        for bot in (ours, bare):
            stage.crowd.burst(
                bot.identity, POLL, halls=names, votes=1, options=OPTIONS, with_id=False, spread_seconds=1
            )
        time.sleep(WARM_UP_SECONDS)
    total = plan.halls * plan.hall_messages
    votes_in_one = total // plan.participants
    costs: dict[str, list[float]] = {"ours_1": [], "ours_many": [], "bare_1": [], "bare_many": []}
    for _ in range(min(plan.rounds, _ROUNDS)):
        costs["ours_1"].append(message_cost(stage, one.ours, [one.name], votes_in_one, total))
        costs["ours_many"].append(message_cost(stage, ours, names, plan.hall_messages, total))
        costs["bare_1"].append(message_cost(stage, one.sink, [one.name], votes_in_one, total))
        costs["bare_many"].append(message_cost(stage, bare, names, plan.hall_messages, total))
    mine = Spread.of_ratios(costs["ours_many"], costs["ours_1"])
    theirs = Spread.of_ratios(costs["bare_many"], costs["bare_1"])
    medians = {name: Spread.of(values).median for name, values in costs.items()}
    return [
        Row(
            "halls",
            HALLS.format(plan.halls),
            f"≤ {HALLS_HOLD:g}×",
            f"{medians['ours_1']:.0f} → {medians['ours_many']:.0f} µs",
            f"{medians['bare_1']:.0f} → {medians['bare_many']:.0f} µs ({theirs.median:.1f}×)",
            mine,
            mine.median <= HALLS_HOLD,
            samples={f"{name}_us": values for name, values in costs.items()},
        )
    ]


def message_cost(stage: Stage, bot: RelayBot | Bare, where: list[str], votes: int, total: int) -> float:
    """Let each participant of these halls vote so often, without ids; gives the microseconds of CPU a message.

    What the bot costs when idle is taken off.

    Raises:
        BenchError: Not all `total` messages arrived.
    """

    def send() -> None:
        stage.crowd.burst(
            bot.identity,
            POLL,
            halls=where,
            votes=votes,
            options=OPTIONS,
            with_id=False,
            spread_seconds=stage.plan.spread_seconds,
        )
        # A lost packet is sent again after a second, in which the bot is quiet.
        wait_until(lambda: _arrived(bot) - before == total, _LATE_SECONDS, pause=0.2)

    before = _arrived(bot)
    cost = cost_of(bot.pid, send, idle=idle_share(bot.pid))
    arrived = _arrived(bot) - before
    if arrived != total:
        raise BenchError(f"{arrived} of {total} messages arrived in {len(where)} halls")
    return cost.own / total * 1e6


def _arrived(bot: RelayBot | Bare) -> int:
    """How many messages the bot has taken so far: kept in the journal, or counted by the bare bot."""
    return bot.votes_kept() if isinstance(bot, RelayBot) else bot.seen().received


SCENARIOS: dict[str, Callable[[Stage], list[Row]]] = {"memory": memory, "halls": halls}
