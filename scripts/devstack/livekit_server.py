"""A real livekit-server on loopback, as a child process."""

import secrets
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from livekit.api import AccessToken, VideoGrants

from scripts.devstack.errors import StackError
from scripts.devstack.loopback import Answer, UnreachableError, call
from scripts.devstack.ports import LOOPBACK, LiveKitPorts, free_livekit_ports
from scripts.devstack.process import Child

_TRIES = 3  # somebody may take a port between our look and the server's bind


@dataclass(frozen=True, slots=True)
class Keys:
    """An API key with its secret. LiveKit wants at least 32 characters of secret."""

    key: str = "devkey"
    secret: str = field(default_factory=lambda: secrets.token_hex(24), repr=False)


def server_config(
    ports: LiveKitPorts,
    keys: Keys,
    *,
    webhook_url: str | None = None,
    overrides: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """The configuration of a livekit-server that neither listens nor looks beyond loopback.

    Args:
        ports: Where it listens.
        keys: The one key pair that it knows.
        webhook_url: Who is told of room events, signed with the same keys.
        overrides: Top-level sections that replace those made here, e.g. `{"room": {...}}`.
    """
    config: dict[str, object] = {
        "port": ports.http,
        "bind_addresses": [LOOPBACK],
        "keys": {keys.key: keys.secret},
        "rtc": {
            "tcp_port": ports.tcp,
            "udp_port": ports.udp,
            "node_ip": LOOPBACK,
            "use_external_ip": False,
            "enable_loopback_candidate": True,
            "interfaces": {"includes": ["lo0" if sys.platform == "darwin" else "lo"]},
            # Left out, it would send every client to public STUN servers.
            "stun_servers": [f"{LOOPBACK}:{ports.udp}"],
        },
    }
    if webhook_url is not None:
        config["webhook"] = {"api_key": keys.key, "urls": [webhook_url]}
    return config | dict(overrides or {})


class LiveKitServer:
    """Starts, checks, stops and restarts one server. All calls block; none needs an event loop.

    Args:
        binary: The program, from `provision`.
        directory: Where its configuration and its log go. Must exist.
        ports: Where it listens; free ports are chosen if left out.
        keys: Its key pair; a random secret if left out, so that only this server answers to it.
        webhook_url: Who is told of room events.
        overrides: See `server_config`.
    """

    def __init__(
        self,
        binary: Path,
        directory: Path,
        *,
        ports: LiveKitPorts | None = None,
        keys: Keys | None = None,
        webhook_url: str | None = None,
        overrides: Mapping[str, object] | None = None,
    ) -> None:
        self.keys = keys or Keys()
        self.log = directory / "livekit.log"
        self._binary = binary
        self._config = directory / "livekit.yaml"
        self._ports = ports
        self._webhook_url = webhook_url
        self._overrides = overrides
        self._child: Child | None = None

    @property
    def ports(self) -> LiveKitPorts:
        if self._ports is None:
            raise RuntimeError("the server was never started")
        return self._ports

    @property
    def url(self) -> str:
        """What clients connect to."""
        return f"ws://{LOOPBACK}:{self.ports.http}"

    @property
    def pid(self) -> int:
        if self._child is None:
            raise RuntimeError("the server was never started")
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.running

    @property
    def exit_code(self) -> int | None:
        """How it ended, minus the signal's number if by a signal; `None` while it runs."""
        return self._child.exit_code if self._child is not None else None

    def start(self, limit: float = 20.0) -> None:
        """Start it and wait until it answers to its keys.

        Raises:
            StackError: It didn't come up; the text has its last words.
        """
        for tries_left in reversed(range(1 if self._ports is not None else _TRIES)):
            ports = self._ports or free_livekit_ports()
            try:
                self._start_on(ports, limit)
            except StackError:
                if not tries_left:
                    raise
            else:
                self._ports = ports
                return

    def stop(self, limit: float = 2.0) -> None:
        """End it: asked once, asked to leave its participants, killed."""
        if self._child is None:
            return
        # The first SIGTERM lets it wait for its participants to leave, the second does not.
        if not self._child.end_asked(limit / 2):
            self._child.end_asked(limit / 2)
        self._child.kill()

    def kill(self) -> None:
        """End it as a crash would."""
        if self._child is not None:
            self._child.kill()

    def restart(self, limit: float = 20.0) -> None:
        """Kill it and start it again on the same ports with the same keys. Its rooms are gone."""
        self.kill()
        self.start(limit)

    def call(self, method: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Call the server's RoomService, e.g. `call("CreateRoom", {"name": "demo"})`.

        Raises:
            StackError: It can't be reached, or refuses.
        """
        answer = self._post(self.ports, method, body or {})
        if answer.status != 200:
            raise StackError(f"livekit-server answered {method} with {answer.status}: {answer.text[:200]}")
        return answer.body

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start_on(self, ports: LiveKitPorts, limit: float) -> None:
        config = server_config(ports, self.keys, webhook_url=self._webhook_url, overrides=self._overrides)
        self._config.touch(mode=0o600)  # the secret is in it
        self._config.write_text(yaml.safe_dump(config, sort_keys=False))
        self._child = Child("livekit-server", [self._binary, "--config", self._config], log=self.log)
        self._child.start()
        try:
            self._wait_until_ours(self._child, ports, limit)
        except BaseException:
            self._child.kill()
            raise

    def _wait_until_ours(self, child: Child, ports: LiveKitPorts, limit: float) -> None:
        """Wait until *this* process answers: something else on the port doesn't know the secret."""

        def answers() -> bool:
            if not child.running:
                raise StackError(
                    f"livekit-server ended at once ({child.tail() or child.exit_code}); its log is {self.log}"
                )
            try:
                return self._post(ports, "ListRooms", {}, timeout=0.5).status == 200
            except UnreachableError:
                return False

        if not wait_until(answers, limit):
            raise StackError(f"livekit-server didn't answer within {limit:.0f} s; its log is {self.log}")

    def _post(self, ports: LiveKitPorts, method: str, body: Mapping[str, object], timeout: float = 5.0) -> Answer:
        room = str(body.get("room") or body.get("name") or "")
        grants = VideoGrants(room_create=True, room_list=True, room_admin=True, room=room)
        token = AccessToken(self.keys.key, self.keys.secret).with_grants(grants).to_jwt()
        url = f"http://{LOOPBACK}:{ports.http}/twirp/livekit.RoomService/{method}"
        return call("POST", url, token=token, body=body, timeout=timeout)


def wait_until(condition: Callable[[], bool], limit: float, *, pause: float = 0.05) -> bool:
    """Ask again and again, at most `limit` seconds. Returns the last answer."""
    end = time.monotonic() + limit
    while not (answer := condition()) and time.monotonic() < end:
        time.sleep(pause)
    return answer
