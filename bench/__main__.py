"""`python -m bench`: measure, print the table, tell by the exit code whether everything held."""

import argparse
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

from bench.errors import BenchError, CannotBuildError
from bench.report import Row, Surroundings, as_json, markdown, print_table
from bench.scenarios import halls, journal, native, restart, votes
from bench.stage import Plan, Stage
from scripts.devstack.errors import StackError
from scripts.devstack.voice import Voice

_ON_STAGE: dict[str, Callable[[Stage], list[Row]]] = {
    **votes.SCENARIOS,
    **halls.SCENARIOS,
    **restart.SCENARIOS,
    **native.SCENARIOS,
}
_OFF_STAGE: dict[str, Callable[[Plan], list[Row]]] = {  # these need neither a server nor a crowd
    "journal": lambda plan: journal.journal(plan.journal_votes, plan.rounds),
    "native_socket": lambda plan: native.socket(plan.socket_frames, plan.rounds),
}
NAMES = (*_ON_STAGE, *_OFF_STAGE)


def run(names: list[str], plan: Plan, voice: Voice) -> list[Row]:
    """Measure what was asked for; what fails is a row that was not held, and the others go on."""
    rows: list[Row] = []
    for name in _OFF_STAGE:
        if name in names:
            rows += _attempt(name, partial(_OFF_STAGE[name], plan), voice)
    on_stage = [name for name in _ON_STAGE if name in names]
    if not on_stage:
        return rows
    try:
        with Stage(plan, voice) as stage:
            measured: list[Row] = []
            for name in on_stage:
                measured += _attempt(name, partial(_ON_STAGE[name], stage), voice)
    except (CannotBuildError, StackError) as problem:
        measured = [Row(name, name, "", why=str(problem)) for name in on_stage]
    return measured + rows


def _attempt(name: str, scenario: Callable[[], list[Row]], voice: Voice) -> list[Row]:
    try:
        voice.line(f"measuring {name} …")  # no spinner: it would want a share of the cores
        started = time.monotonic()
        rows = scenario()
        voice.line(f"measured {name} in {time.monotonic() - started:.0f} s")
        return rows
    except (BenchError, StackError, TimeoutError) as problem:
        voice.line(f"{name}: {problem}")
        return [Row(name, name, "", held=False, why=str(problem).splitlines()[0])]


def _end(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="relay-bot beside bots on the bare LiveKit SDK, in ratios."
    )
    parser.add_argument("--only", action="append", choices=NAMES, help="measure only this; may be repeated")
    parser.add_argument("--rounds", type=int, default=Plan().rounds, help="turns of each (default %(default)s)")
    parser.add_argument("--json", type=Path, help="write all samples to this file")
    arguments = parser.parse_args()
    if not 1 <= arguments.rounds <= 50:
        parser.error("--rounds: expected a number from 1 to 50")
    # Ended by somebody else, the bench still takes its children along.
    signal.signal(signal.SIGTERM, _end)
    where = Surroundings.now()
    try:
        rows = run(arguments.only or list(NAMES), Plan(rounds=arguments.rounds), Voice())
    except KeyboardInterrupt:
        print("interrupted; nothing is left running", file=sys.stderr)
        return 130
    print_table(rows)
    print(markdown(rows, where))
    if arguments.json:
        arguments.json.write_bytes(as_json(rows, where))
    return 1 if any(row.held is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
