"""Stands in for the bot where a test is about the stack around it: ready at once, and no more.

`stand_in_bot.py run --config FILE` answers each GET on the port in that file. With `FAIL` in its environment
it complains in one line and ends; with `STUBBORN` it doesn't listen to SIGTERM.
"""

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import yaml


class Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"status": "ok"}')


def main() -> None:
    if complaint := os.environ.get("FAIL"):
        sys.exit(f"relay-bot: {complaint}")
    if "STUBBORN" in os.environ:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    config = yaml.safe_load(Path(sys.argv[sys.argv.index("--config") + 1]).read_text())
    HTTPServer(("127.0.0.1", config["control"]["port"]), Ready).serve_forever()


if __name__ == "__main__":
    main()
