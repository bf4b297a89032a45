"""Puts relay-link into the wheel, where the builder names it: that wheel is for one kind of machine.

RELAY_WHEEL_LINK is the program, RELAY_WHEEL_PLATFORM the wheel's platform tag (this machine's if left out).
Without the first the wheel is for every machine, and the bot in it stands on LiveKit's Python SDK.
"""

import os
import platform
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface):  # pyright: ignore[reportMissingTypeArgument, reportUntypedBaseClass] - untyped
    """See the module's text."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds."""
        named = os.environ.get("RELAY_WHEEL_LINK")
        if not named or version == "editable":
            return
        program = Path(named).expanduser().absolute()
        if not os.access(program, os.X_OK):
            raise ValueError(f"RELAY_WHEEL_LINK={named}: no such program")
        build_data["force_include"][str(program)] = "relay_bot/_bundled/relay-link"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{os.environ.get('RELAY_WHEEL_PLATFORM') or _this_machine()}"


def _this_machine() -> str:
    """The program is linked to no library, so that on Linux it runs with glibc and musl alike."""
    machine = platform.machine()
    if sys.platform == "linux":
        return f"manylinux_2_17_{machine}.manylinux2014_{machine}.musllinux_1_1_{machine}"
    if sys.platform == "darwin":
        return f"macosx_12_0_{machine}"
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")
