"""The links that tests run on."""

import os
from pathlib import Path
from typing import Final

import pytest

from relay_bot.link.choose import find_native

KINDS: Final = ("native", "sdk")

DEFAULT: Final = os.environ.get("RELAY_TEST_LINK", "native")
"""The link of the bots in tests that don't say which; to run all of them on the other one: RELAY_TEST_LINK=sdk."""

on_both_links = pytest.mark.parametrize("link_kind", KINDS, indirect=True)
"""Runs a test of `tests/server` on each link: what it is about depends on how the bot is in its rooms."""

on_the_sdk_link = pytest.mark.parametrize("link_kind", ["sdk"], indirect=True)
"""Runs a test of `tests/server` on the Python SDK alone, whose ways it is about."""

on_the_native_link = pytest.mark.parametrize("link_kind", ["native"], indirect=True)
"""Runs a test of `tests/server` on the native link alone, whose ways it is about."""


def link_binary() -> Path:
    """The native link's program. Not built here: a build takes longer than a test may."""
    if (found := find_native()) is None:
        pytest.fail("there is no relay-link for these sources yet: run scripts/test, which builds one", pytrace=False)
    return found
