from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.control.support import Endpoint, open_endpoint


@pytest.fixture
async def endpoint(tmp_path: Path) -> AsyncGenerator[Endpoint]:
    async with open_endpoint(tmp_path) as opened:
        yield opened
