"""Ports: free ones, and a clear word on busy ones."""

import os
import socket

import pytest

from scripts.devstack import ports
from scripts.devstack.errors import StackError


def _bound(kind: socket.SocketKind) -> socket.socket:
    taken = socket.socket(socket.AF_INET, kind)
    taken.bind(("127.0.0.1", 0))
    if kind == socket.SOCK_STREAM:
        taken.listen()
    return taken


@pytest.mark.parametrize(("kind", "socket_kind"), [("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)])
def test_a_busy_port_is_named_with_its_holder_and_the_way_out(kind: ports.Kind, socket_kind: socket.SocketKind) -> None:
    with _bound(socket_kind) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StackError) as caught:
            ports.require_free(port, kind, use="LiveKit", change_with="--livekit-port")

    text = str(caught.value)
    assert text.startswith(f"{kind} port {port} (LiveKit) is in use by ")
    assert f"(pid {os.getpid()})" in text
    assert text.endswith("choose another with --livekit-port")
    assert "\n" not in text


def test_a_closed_port_is_free_again() -> None:
    with _bound(socket.SOCK_STREAM) as taken:
        port = taken.getsockname()[1]
        assert not ports.is_free(port)
    assert ports.is_free(port)


def test_chosen_ports_are_not_those_of_outgoing_connections() -> None:
    chosen = ports.free_livekit_ports()
    assert len({chosen.http, chosen.tcp}) == 2
    assert all(20_000 <= port < 32_768 for port in chosen)


@pytest.mark.parametrize("text", ["", "0", "65534", "-1", "7880x", "seven"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a port"):
        ports.parse_port(text)
