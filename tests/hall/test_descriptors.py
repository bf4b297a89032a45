"""The system's limit of open files is a bound for halls, and a part of it is kept for the control endpoint."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from relay_bot import descriptors
from relay_bot.hall.halls import Halls
from relay_bot.hall.shelf import Shelf
from relay_bot.observe import metrics
from relay_bot.settings import Settings
from relay_bot.testing import HallKit
from tests.support.halls import open_journal

TELL = "from relay_bot import descriptors as d; import resource; print(d.raise_limit(), resource.getrlimit(7)[0])"


def test_the_soft_limit_is_raised() -> None:
    script = f'ulimit -S -n 256 && ulimit -H -n 2048 && exec {sys.executable} -c "{TELL}"'
    run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.split() == ["2048", "2048"]


@pytest.mark.parametrize("limit", [256, 1024, 4096, 65_536])
@pytest.mark.parametrize("link", ["native", "sdk"])
def test_halls_leave_room_for_control(limit: int, link: str) -> None:
    halls, control = descriptors.halls_that_fit(limit, link), descriptors.for_control(limit)
    assert control >= 32
    assert halls >= 1
    if link == "sdk":
        assert halls * 13 + control + 40 <= limit


async def test_no_more_halls_than_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with open_journal(tmp_path) as journal:
        kit = HallKit(journal, {}, Settings(), Shelf(journal, 1))
        halls = Halls(msgspec.structs.replace(kit._services), most=1)
        dropped: Any = metrics.DROPPED.labels("halls")
        before = dropped._value.get()
        for _ in range(3):
            halls.found("a", "RM_a")
            halls.found("b", "RM_b")
        assert [hall.name for hall in halls.all()] == ["a"]
        assert dropped._value.get() == before + 3
        assert capsys.readouterr().out.count("halls.full") == 1
        await halls.stop()
