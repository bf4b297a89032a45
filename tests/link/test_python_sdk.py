"""What only the Python SDK's link has to take care of."""

import asyncio
from typing import Any

import pytest
from livekit.rtc._ffi_client import FfiClient  # pyright: ignore[reportPrivateUsage] - the link stands on it, too

from relay_bot.link.python_sdk import PythonSdkLink
from tests.link.world import Recorder, eventually, hall_on
from tests.support.livekit_server import LiveKit

pytestmark = pytest.mark.server


async def test_a_join_that_is_given_up_takes_the_rooms_events(
    livekit: LiveKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or else the native library panics half a minute later, and its panic ends the process."""
    asked: list[str] = []
    request = FfiClient.request

    def spy(self: FfiClient, req: Any) -> Any:
        asked.append(req.WhichOneof("message"))
        return request(self, req)

    monkeypatch.setattr(FfiClient, "request", spy)
    async with hall_on(livekit, livekit.new_hall(), PythonSdkLink()) as hall:
        joining = asyncio.create_task(hall.link.join(livekit.url, hall.bot_token(), Recorder()))
        await asyncio.sleep(0.02)
        joining.cancel()
        await asyncio.gather(joining, return_exceptions=True)
        await eventually(lambda: "disconnect" in asked)
    assert asked.index("ready_for_room_event") < asked.index("disconnect")
