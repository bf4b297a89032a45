"""Free ports, and who sits on those that aren't free."""

import random
import socket
from typing import Literal, NamedTuple

import psutil

from scripts.devstack.errors import StackError

LOOPBACK = "127.0.0.1"
# Below the range from which Linux and macOS take the ports of outgoing connections, so that a server that
# is stopped and started again on its port doesn't find it taken by somebody's client.
_RANGE = range(20_000, 32_000)

Kind = Literal["tcp", "udp"]


class LiveKitPorts(NamedTuple):
    """The three ports of a livekit-server."""

    http: int
    tcp: int
    udp: int


def is_free(port: int, kind: Kind = "tcp") -> bool:
    """Whether a server could bind this port on loopback now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as probe:
        if kind == "tcp":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            if kind == "tcp":
                probe.listen(1)
        except OSError:
            return False
    return True


def free_port(kind: Kind = "tcp") -> int:
    """A port that is free now. Somebody else can take it before you do: try again then."""
    for _ in range(200):
        port = random.choice(_RANGE)
        if is_free(port, kind):
            return port
    raise StackError(f"found no free {kind} port from {_RANGE.start} to {_RANGE.stop}")


def free_livekit_ports() -> LiveKitPorts:
    http, tcp = free_port(), free_port()
    while tcp == http:
        tcp = free_port()
    return LiveKitPorts(http=http, tcp=tcp, udp=free_port("udp"))


def owner(port: int, kind: Kind = "tcp") -> str:
    """Who holds a port, for a person: `nginx (pid 812)`, or empty if the system doesn't tell."""
    try:
        connections = psutil.net_connections(kind)
    except (psutil.Error, OSError):
        return ""  # macOS tells only root
    for connection in connections:
        if not connection.laddr or connection.laddr.port != port or connection.pid is None:
            continue
        if kind == "tcp" and connection.status != psutil.CONN_LISTEN:
            continue
        try:
            return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
        except psutil.Error:
            return f"pid {connection.pid}"
    return ""


def parse_port(text: str) -> int:
    """A port that leaves room for two more after it. Raises `ValueError`."""
    if not text.isdecimal() or not 0 < int(text) <= 65533:
        raise ValueError(f"expected a port from 1 to 65533, got {text!r}")
    return int(text)


def require_free(port: int, kind: Kind, *, use: str, change_with: str) -> None:
    """Raise a `StackError` that names the holder of a busy port and what chooses another.

    Args:
        port: The port that is needed.
        kind: `tcp` or `udp`.
        use: What it is needed for, as in "LiveKit".
        change_with: The flag or variable that chooses another.
    """
    if is_free(port, kind):
        return
    holder = owner(port, kind)
    by = f" by {holder}" if holder else ""
    raise StackError(f"{kind} port {port} ({use}) is in use{by}: end that, or choose another with {change_with}")
