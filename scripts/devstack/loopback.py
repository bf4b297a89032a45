"""HTTP to servers on this machine."""

import json
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

from scripts.devstack.errors import StackError


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    text: str

    @property
    def body(self) -> dict[str, Any]:
        """The JSON object in the answer; empty if there is none."""
        try:
            parsed: object = json.loads(self.text)
        except ValueError:
            return {}
        return cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else {}


class UnreachableError(StackError):
    """Nobody answers there."""


def call(
    method: str, url: str, *, token: str = "", body: Mapping[str, object] | None = None, timeout: float = 5.0
) -> Answer:
    """One request. By `http.client`, because a proxy from the environment must not see loopback.

    Raises:
        UnreachableError: There was no answer.
    """
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=timeout)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if body is not None:
        headers["Content-Type"] = "application/json"
    try:
        connection.request(method, parts.path, json.dumps(body) if body is not None else None, headers)
        response = connection.getresponse()
        return Answer(response.status, response.read().decode("utf-8", "replace"))
    except (OSError, HTTPException) as error:
        raise UnreachableError(f"{parts.netloc} can't be reached: {error}") from error
    finally:
        connection.close()
