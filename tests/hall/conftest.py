"""A hall with the tally plugin, live."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from relay_bot.testing import HallKit
from tests.support.halls import open_hall


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncGenerator[HallKit]:
    async with open_hall(tmp_path) as made:
        yield made
