"""The real server as the tests and the dev stack run it."""

import asyncio
import socket
from pathlib import Path

import psutil
import pytest
from livekit.protocol.room import ListRoomsRequest

from scripts.devstack.errors import StackError
from scripts.devstack.livekit_server import Keys, LiveKitServer, server_config
from scripts.devstack.ports import LiveKitPorts
from tests.support.livekit_server import LiveKit, server_binary, start_server

PORTS = LiveKitPorts(http=7880, tcp=7881, udp=7882)


def test_the_configuration_stays_on_loopback() -> None:
    config = server_config(PORTS, Keys("key", "s" * 32))

    assert config["bind_addresses"] == ["127.0.0.1"]
    assert config["keys"] == {"key": "s" * 32}
    rtc = config["rtc"]
    assert isinstance(rtc, dict)
    assert rtc["stun_servers"] == ["127.0.0.1:7882"], "or clients are sent to public STUN servers"
    assert (rtc["node_ip"], rtc["use_external_ip"]) == ("127.0.0.1", False)
    assert "webhook" not in config


def test_webhooks_and_overrides() -> None:
    config = server_config(
        PORTS,
        Keys("key", "s" * 32),
        webhook_url="http://127.0.0.1:1/hook",
        overrides={"room": {"departure_timeout": 1}},
    )
    assert config["webhook"] == {"api_key": "key", "urls": ["http://127.0.0.1:1/hook"]}
    assert config["room"] == {"departure_timeout": 1}


def test_secrets_differ_and_are_not_shown() -> None:
    one, other = Keys(), Keys()
    assert one.secret != other.secret
    assert len(one.secret) >= 32
    assert one.secret not in repr(one)


@pytest.mark.server
async def test_it_answers_to_its_keys_alone(livekit: LiveKit) -> None:
    async with livekit.api() as api:
        await api.room.list_rooms(ListRoomsRequest())
    stranger = LiveKitServer(Path("unused"), Path("unused"), ports=livekit.server.ports)
    with pytest.raises(StackError, match="401"):
        stranger.call("ListRooms")


@pytest.mark.server
async def test_it_comes_back_on_its_ports_and_stays(tmp_path: Path) -> None:
    server = await asyncio.to_thread(start_server, tmp_path)
    try:
        server.call("CreateRoom", {"name": "hall"})
        before, ports = server.pid, server.ports

        await asyncio.to_thread(server.restart)

        assert server.ports == ports
        assert server.pid != before
        assert server.call("ListRooms")["rooms"] == []
    finally:
        server.stop()
    assert not psutil.pid_exists(server.pid)


@pytest.mark.server
def test_it_listens_nowhere_else(livekit: LiveKit) -> None:
    connections = psutil.Process(livekit.server.pid).net_connections("inet")
    listening = {c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN}
    ports = livekit.server.ports
    assert {ports.http, ports.tcp} <= listening
    http = [c.laddr.ip for c in connections if c.laddr.port == ports.http and c.status == psutil.CONN_LISTEN]
    assert http == ["127.0.0.1"]


@pytest.mark.server
def test_a_foreign_server_on_the_port_is_not_taken_for_ours(livekit: LiveKit, tmp_path: Path) -> None:
    with pytest.raises(StackError, match="livekit-server ended at once"):
        start_server(tmp_path, ports=livekit.server.ports)


@pytest.mark.server
def test_a_start_that_fails_says_why_and_leaves_no_process(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = LiveKitPorts(taken.getsockname()[1], 20_001, 20_002)
        server = LiveKitServer(server_binary(), tmp_path, ports=ports)
        with pytest.raises(StackError, match="address already in use"):
            server.start()
    assert not server.running
