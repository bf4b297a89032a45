"""A livekit-server for the link's tests, until the shared fixture is here."""

import json
import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

from livekit.api import AccessToken, VideoGrants


def _free(kind: socket.SocketKind) -> int:
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class LiveKit:
    key, secret = "devkey", uuid.uuid4().hex * 2

    def __init__(self, directory: Path) -> None:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
        self._binary = base / "relay-bot/livekit-server/v1.13.5/livekit-server"
        self._config = directory / "livekit.yaml"
        self._log = directory / "livekit.log"
        self.port = _free(socket.SOCK_STREAM)
        tcp, udp = _free(socket.SOCK_STREAM), _free(socket.SOCK_DGRAM)
        rtc = {
            "tcp_port": tcp,
            "udp_port": udp,
            "node_ip": "127.0.0.1",
            "use_external_ip": False,
            "enable_loopback_candidate": True,
            "interfaces": {"includes": ["lo"]},
            "stun_servers": [f"127.0.0.1:{udp}"],
        }
        config = {"port": self.port, "bind_addresses": ["127.0.0.1"], "keys": {self.key: self.secret}, "rtc": rtc}
        self._config.write_text(json.dumps(config))
        self.start()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def new_hall(self, prefix: str = "hall") -> str:
        return f"{prefix}-{uuid.uuid4().hex[:8]}"

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                [self._binary, "--config", self._config], stdout=log, stderr=log, start_new_session=True
            )
        self.pid = self._child.pid
        token = AccessToken(self.key, self.secret).with_grants(VideoGrants(room_list=True)).to_jwt()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/twirp/livekit.RoomService/ListRooms",
            b"{}",
            {"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
        )
        for _ in range(200):
            try:
                urllib.request.urlopen(request, timeout=1).close()
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"livekit-server did not start: {self._log.read_text()[-500:]}")

    def kill(self) -> None:
        self._child.kill()
        self._child.wait()

    def signal(self, number: signal.Signals) -> None:
        self._child.send_signal(number)
